//! `keytrail config show`.

use std::path::Path;

use super::super::Exit;
use super::super::console::data;
use super::super::failure::Failure;
use crate::settings::Settings;

/// Prints every setting with where it comes from, as TOML.
pub(super) fn show(settings: &Settings) -> Result<Exit, Failure> {
    let file = settings.file.as_ref().map_or_else(
        || "# no configuration file\n".to_owned(),
        |path| format!("# {}\n", path.display()),
    );
    let mut text = file;
    let mut line = |name: &str, value: String, origin: &str| {
        text += &format!("{name} = {value}  # {origin}\n");
    };
    line("store", quoted(&settings.store.value), &settings.store.origin);
    line("title", quoted(&settings.title.value), &settings.title.origin);
    line("fail_on", quoted(&settings.fail_on.value), &settings.fail_on.origin);
    let origin = settings.file.as_ref().map_or_else(String::new, |path| path.display().to_string());
    for (name, path) in [
        ("rules", &settings.rules),
        ("people", &settings.people),
        ("approvals", &settings.approvals),
        ("waivers", &settings.waivers),
    ] {
        if let Some(path) = path {
            line(name, quoted(&shown(path)), &origin);
        }
    }
    let list = |items: &[String]| {
        let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
        format!("[{}]", items.join(", "))
    };
    text += "\n[scope]\n";
    let scope = &settings.scope;
    for (name, items) in [
        ("accounts", &scope.accounts),
        ("projects", &scope.projects),
        ("subscriptions", &scope.subscriptions),
        ("keys", &scope.keys),
    ] {
        text += &format!("{name} = {}\n", list(items));
    }
    text += "\n[params]\n";
    for (name, value) in &settings.params {
        text += &format!("{} = {}\n", quoted(name), quoted(value));
    }
    data(&text)?;
    Ok(Exit::Clean)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
