//! What an object store's error means.

use std::error::Error as _;

use object_store::Error;

use super::super::source::SourceError;

/// What a bucket's provider calls the permissions to read it.
#[derive(Debug, PartialEq, Eq)]
pub struct Rights {
    /// To list its objects.
    pub list: &'static str,
    /// To get one.
    pub get: &'static str,
}

impl Rights {
    /// Of Amazon S3.
    pub const S3: Self = Self {
        list: "s3:ListBucket",
        get: "s3:GetObject, and kms:Decrypt where the objects are encrypted with a key of yours,",
    };
    /// Of Google Cloud Storage.
    pub const GCS: Self = Self { list: "storage.objects.list", get: "storage.objects.get" };
    /// Of Azure Blob Storage.
    pub const AZURE: Self = Self {
        list: "the role Storage Blob Data Reader on the container",
        get: "the role Storage Blob Data Reader on the container",
    };
}

/// Why an object was not got.
#[derive(Debug)]
pub enum Failure {
    /// It concerns this object alone: it is gone, or too long.
    Object(String),
    /// It may concern this object alone, or all.
    Denied(SourceError),
    /// Reading cannot go on.
    Source(SourceError),
}

/// What an error of listing means.
pub(super) fn of_listing(error: Error, rights: &Rights, address: &str) -> SourceError {
    source_error(error, format!("listing {address}"), rights.list)
}

/// What an error of getting an object means.
pub(super) fn of_object(error: Error, rights: &Rights, address: &str) -> Failure {
    let error = match error {
        Error::NotFound { .. } => return Failure::Object("it is no longer there".to_owned()),
        Error::Precondition { .. } | Error::NotModified { .. } => {
            return Failure::Object("it changed while it was read".to_owned());
        }
        error => error,
    };
    match source_error(error, format!("reading {address}"), rights.get) {
        // It was listed, and is shorter now.
        SourceError::Answer { status: 416, .. } => {
            Failure::Object("it is shorter than it was".to_owned())
        }
        denied @ SourceError::Denied { .. } => Failure::Denied(denied),
        other => Failure::Source(other),
    }
}

fn source_error(error: Error, call: String, permission: &str) -> SourceError {
    let detail = excerpt(&error);
    let status = status_of(&error);
    match error {
        Error::Unauthenticated { source, .. } | Error::Generic { source, .. }
            if source.is::<SourceError>() =>
        {
            match source.downcast::<SourceError>() {
                Ok(own) => *own,
                Err(source) => SourceError::Transport { call, source },
            }
        }
        Error::InvalidPath { .. } => SourceError::Content { call, detail },
        error => match status {
            Some(401 | 403) => {
                SourceError::Denied { call, detail, permission: permission.to_owned() }
            }
            Some(429 | 503) => SourceError::Throttled { call, tries: super::open::TRIES },
            Some(status) => SourceError::Answer { call, status, detail },
            None if detail.contains("redirect without LOCATION") => SourceError::config(
                format!("{call} was sent elsewhere: the bucket is in another region"),
                "set `region` to the region of the bucket",
            ),
            None => SourceError::Transport { call, source: Box::new(error) },
        },
    }
}

/// The HTTP status, which object stores tell in words alone. A key stands percent-encoded before
/// it, so that no name of an object can be taken for it.
fn status_of(error: &Error) -> Option<u16> {
    match error {
        Error::NotFound { .. } => return Some(404),
        Error::PermissionDenied { .. } => return Some(403),
        Error::Unauthenticated { .. } => return Some(401),
        Error::Precondition { .. } => return Some(412),
        Error::AlreadyExists { .. } => return Some(409),
        _ => {}
    }
    let text = error.to_string();
    let (_, rest) = text.split_once("non-2xx status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// The innermost cause that says something, on one line, cut.
fn excerpt(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    let text = text.split_once("non-2xx status code: ").map_or(text.as_str(), |(_, rest)| rest);
    let told = match (element(text, "Code"), element(text, "Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => text.to_owned(),
    };
    let text = told.trim().lines().next().unwrap_or_default();
    let end = text.floor_char_boundary(text.len().min(300));
    text.get(..end).unwrap_or_default().escape_debug().to_string()
}

/// The text of an element of the XML in which all three clouds tell of errors.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn a_refusal_names_the_permission() {
        let text = "Error performing GET https://x/b in 1ms - Server returned non-2xx status code: \
                    403 Forbidden: <Error><Code>AccessDenied</Code><Message>No</Message></Error>";
        match of_listing(generic(text), &Rights::S3, "s3://b/x") {
            SourceError::Denied { call, detail, permission } => {
                assert_eq!(
                    (call.as_str(), permission.as_str()),
                    ("listing s3://b/x", "s3:ListBucket")
                );
                assert_eq!(detail, "AccessDenied: No");
            }
            other => panic!("{other:?}"),
        }
        let denied = Error::PermissionDenied { path: "k".to_owned(), source: "no".into() };
        assert!(matches!(of_object(denied, &Rights::GCS, "gs://b/k"), Failure::Denied(_)));
    }

    #[test]
    fn throttling_wrong_regions_and_other_answers_are_told_apart() {
        let of = |text: &str| of_listing(generic(text), &Rights::S3, "s3://b");
        let coded = |code: &str| of(&format!("x - Server returned non-2xx status code: {code}: y"));
        assert!(matches!(coded("503 Slow Down"), SourceError::Throttled { .. }));
        assert!(matches!(coded("500 Oh"), SourceError::Answer { status: 500, .. }));
        let elsewhere = "Received redirect without LOCATION, this normally indicates …";
        assert!(matches!(of(elsewhere), SourceError::Config { .. }));
        assert!(matches!(of("connection refused"), SourceError::Transport { .. }));
    }

    #[test]
    fn the_error_of_a_credential_provider_comes_out_as_it_went_in() {
        let own = SourceError::config("no profile", "make one");
        let error = Error::Generic { store: "S3", source: Box::new(own) };
        match of_object(error, &Rights::S3, "s3://b/k") {
            Failure::Source(SourceError::Config { detail, .. }) => assert_eq!(detail, "no profile"),
            other => panic!("{other:?}"),
        }
    }
}
