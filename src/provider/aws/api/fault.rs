//! What error answers of AWS mean. Most have status 400, whatever they are about, so that the code
//! decides: in the header `x-amzn-ErrorType`, in `__type` with or without a namespace before it, or
//! in `<Code>` of the Query services.

use serde_json::Value;

use super::super::super::Json as _;
use super::super::super::http::{Answer, Fault};
use super::xml_texts;

/// Codes that ask to slow down; they come with status 400 ("Error responses" of the services).
const THROTTLED: &[&str] = &[
    "BandwidthLimitExceeded",
    "LimitExceeded",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];

/// Codes that may go away by themselves.
const TRANSIENT: &[&str] = &[
    "CloudHsmInternalFailureException",
    "DependencyTimeoutException",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "KMSInternalException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "Unavailable",
];

/// Codes about a session that has ended.
const EXPIRED: &[&str] = &["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"];

/// Codes about who asks, not about what is asked.
const CREDENTIALS: &[&str] = &[
    "AuthFailure",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Tells what an answer with a status of 300 or above means.
pub(super) fn fault(answer: &Answer) -> Fault {
    let (code, message) = code_and_message(answer);
    let detail = if message.is_empty() { code.clone() } else { format!("{code}: {message}") };
    let is = |codes: &[&str]| codes.contains(&code.as_str());
    if answer.status == 429 || is(THROTTLED) {
        Fault::Throttled
    } else if is(EXPIRED) || is(CREDENTIALS) {
        Fault::Other { detail }
    } else if code.contains("AccessDenied") || code.contains("Unauthorized") || is_forbidden(&code)
    {
        Fault::Denied { detail }
    } else if is_of_the_server(answer.status) || is(TRANSIENT) {
        Fault::Transient
    } else if answer.status == 403 {
        Fault::Denied { detail }
    } else {
        Fault::Other { detail }
    }
}

/// 501 stays what it is: the service cannot do it.
fn is_of_the_server(status: u16) -> bool {
    status == 408 || (status >= 500 && status != 501)
}

fn is_forbidden(code: &str) -> bool {
    ["AuthorizationError", "AuthorizationErrorException", "OptInRequired"].contains(&code)
}

/// Whether an answer's detail says that the session has ended.
pub(super) fn is_expired(detail: &str) -> bool {
    EXPIRED.contains(&code_of(detail))
}

/// Whether an answer's detail is about the credentials.
pub(super) fn is_about_credentials(detail: &str) -> bool {
    is_expired(detail) || CREDENTIALS.contains(&code_of(detail))
}

/// The code that an answer's detail begins with.
pub(super) fn code_of(detail: &str) -> &str {
    detail.split_once(':').map_or(detail, |(code, _)| code)
}

fn code_and_message(answer: &Answer) -> (String, String) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = String::from_utf8_lossy(&answer.body);
    let in_xml = |name| xml_texts(&text, name).first().map(|text| (*text).to_owned());
    let code = answer
        .header("x-amzn-errortype")
        .map(str::to_owned)
        .or_else(|| body.string(&["__type"]))
        .or_else(|| body.string(&["code"]))
        .or_else(|| body.string(&["Code"]))
        .or_else(|| in_xml("Code"))
        .map(|code| bare(&code))
        .filter(|code| !code.is_empty());
    let message = body
        .string(&["message"])
        .or_else(|| body.string(&["Message"]))
        .or_else(|| in_xml("Message"));
    match (code, message) {
        (Some(code), message) => (code, shortened(&message.unwrap_or_default())),
        (None, _) => (format!("HTTP {}", answer.status), answer.excerpt()),
    }
}

/// `com.amazonaws.kms#NotFoundException:http://…` is `NotFoundException`.
fn bare(code: &str) -> String {
    let code = code.rsplit_once('#').map_or(code, |(_, code)| code);
    let code = code.split_once(':').map_or(code, |(code, _)| code);
    code.trim().chars().filter(char::is_ascii_alphanumeric).take(100).collect()
}

fn shortened(message: &str) -> String {
    let end = message.floor_char_boundary(message.len().min(500));
    message.get(..end).unwrap_or_default().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    fn answer(status: u16, header: Option<&str>, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("x-amzn-errortype", header.parse().unwrap());
        }
        Answer { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    fn told(status: u16, code: &str) -> Fault {
        fault(&answer(status, None, &format!(r#"{{"__type":"{code}","message":"why"}}"#)))
    }

    #[test]
    fn the_code_decides_where_the_status_does_not() {
        let denied = |code: &str| Fault::Denied { detail: format!("{code}: why") };
        let other = |code: &str| Fault::Other { detail: format!("{code}: why") };
        for (status, code, expected) in [
            (400, "ThrottlingException", Fault::Throttled),
            (400, "com.amazonaws.cloudtrail#ThrottlingException", Fault::Throttled),
            (400, "TooManyRequestsException", Fault::Throttled),
            (503, "RequestLimitExceeded", Fault::Throttled),
            (429, "Whatever", Fault::Throttled),
            (400, "AccessDeniedException", denied("AccessDeniedException")),
            (403, "UnauthorizedOperation", denied("UnauthorizedOperation")),
            (403, "Odd", denied("Odd")),
            (400, "KMSInternalException", Fault::Transient),
            (500, "Odd", Fault::Transient),
            (501, "NotImplemented", other("NotImplemented")),
            (403, "ExpiredTokenException", other("ExpiredTokenException")),
            (403, "InvalidClientTokenId", other("InvalidClientTokenId")),
            (400, "UnrecognizedClientException", other("UnrecognizedClientException")),
            (400, "NotFoundException", other("NotFoundException")),
        ] {
            assert_eq!(told(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn the_code_is_read_wherever_it_stands() {
        let header = answer(400, Some("ThrottlingException:http://internal/x"), "");
        assert_eq!(fault(&header), Fault::Throttled);
        let xml = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
        let detail = "AccessDenied: no".to_owned();
        assert_eq!(fault(&answer(403, None, xml)), Fault::Denied { detail });
        let Fault::Other { detail } = fault(&answer(404, None, "<html>not here")) else { panic!() };
        assert!(detail.starts_with("HTTP 404: <html>"), "{detail}");
        assert!(is_expired("ExpiredToken: x") && is_about_credentials("RequestExpired"));
        assert!(!is_about_credentials("NotFoundException: ExpiredToken"));
    }
}
