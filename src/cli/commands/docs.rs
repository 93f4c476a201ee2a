//! `keytrail docs`: the pages of the documentation that are made from code and rule files.

use std::fs;
use std::path::Path;

use super::super::Exit;
use super::super::console::data;
use super::super::failure::Failure;
use crate::pipeline::docs::all;
use crate::rule::RuleSet;

/// Writes the pages into `folder` and prints their paths.
pub(super) fn run(folder: &Path) -> Result<Exit, Failure> {
    let set = RuleSet::load(None)?;
    fs::create_dir_all(folder)?;
    let mut text = String::new();
    for (page, content) in all(&set) {
        let path = folder.join(Path::new(page).file_name().unwrap_or_default());
        fs::write(&path, content)?;
        text += &format!("{}\n", path.display());
    }
    data(&text)?;
    Ok(Exit::Clean)
}
