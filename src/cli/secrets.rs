//! Reading the secrets that the configuration refers to.

use std::fs;
use std::io;

use secrecy::SecretString;

use crate::secret::SecretRef;

/// A secret may not be longer; what is, is no secret but the wrong file.
const LIMIT: usize = 64 << 10;

/// Reads secrets from files, and from the environment through `variable`.
pub(super) fn read(
    variable: fn(&str) -> Option<String>,
) -> impl Fn(&SecretRef) -> io::Result<SecretString> + Send + Sync {
    move |reference| {
        let text = match reference {
            SecretRef::Env(name) => variable(name).ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, format!("{name} is not set"))
            })?,
            SecretRef::File(path) => fs::read_to_string(path)?,
        };
        if text.len() > LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long for a secret"));
        }
        let line = text.strip_suffix('\n').unwrap_or(&text);
        Ok(SecretString::from(line.strip_suffix('\r').unwrap_or(line)))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn the_last_line_break_of_a_file_is_no_part_of_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "a b\n\n").unwrap();
        let read = read(|_| None);
        let secret = read(&SecretRef::File(path.display().to_string())).unwrap();
        assert_eq!(secret.expose_secret(), "a b\n");
        assert!(!format!("{secret:?}").contains("a b"));
        assert!(read(&SecretRef::Env("NOWHERE".to_owned())).is_err());
    }
}
