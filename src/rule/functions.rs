//! The functions that rules have beyond those of the engine's SQL: `json_text`, `json_int`,
//! `json_bool`, `glob_match`, `case_fold`. All of them give null for null.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::as_string_array;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use serde_json::Value;

/// What one function computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    JsonText,
    JsonInt,
    JsonBool,
    GlobMatch,
    CaseFold,
}

/// The functions: name, what it computes, number of arguments.
const FUNCTIONS: &[(&str, Kind, usize)] = &[
    ("json_text", Kind::JsonText, 2),
    ("json_int", Kind::JsonInt, 2),
    ("json_bool", Kind::JsonBool, 2),
    ("glob_match", Kind::GlobMatch, 2),
    ("case_fold", Kind::CaseFold, 1),
];

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    name: &'static str,
    kind: Kind,
    signature: Signature,
}

/// All functions, to be registered.
pub(super) fn all() -> Vec<ScalarUDF> {
    FUNCTIONS
        .iter()
        .map(|(name, kind, arguments)| {
            let signature =
                Signature::exact(vec![DataType::Utf8; *arguments], Volatility::Immutable);
            ScalarUDF::new_from_impl(Function { name, kind: *kind, signature })
        })
        .collect()
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::JsonText | Kind::CaseFold => DataType::Utf8,
            Kind::JsonInt => DataType::Int64,
            Kind::JsonBool | Kind::GlobMatch => DataType::Boolean,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let result: ArrayRef = match (self.kind, arrays.as_slice()) {
            (Kind::CaseFold, [text]) => {
                let text = as_string_array(text)?;
                Arc::new(text.iter().map(|text| text.map(case_fold)).collect::<StringArray>())
            }
            (kind, [text, argument]) => {
                let (text, argument) = (as_string_array(text)?, as_string_array(argument)?);
                pairwise(kind, text, argument)
            }
            _ => return exec_err!("{} was called with too few or too many arguments", self.name),
        };
        Ok(ColumnarValue::Array(result))
    }
}

fn pairwise(kind: Kind, text: &StringArray, argument: &StringArray) -> ArrayRef {
    let pairs = text.iter().zip(argument.iter()).map(|(text, argument)| text.zip(argument));
    let found = |pair: Option<(&str, &str)>| pair.and_then(|(text, path)| member(text, path));
    match kind {
        Kind::JsonInt => Arc::new(
            pairs.map(|pair| found(pair).as_ref().and_then(whole_number)).collect::<Int64Array>(),
        ),
        Kind::JsonBool => Arc::new(
            pairs.map(|pair| found(pair).as_ref().and_then(flag)).collect::<BooleanArray>(),
        ),
        Kind::GlobMatch => Arc::new(
            pairs
                .map(|pair| pair.map(|(text, pattern)| glob(text, pattern)))
                .collect::<BooleanArray>(),
        ),
        Kind::JsonText | Kind::CaseFold => Arc::new(
            pairs.map(|pair| found(pair).as_ref().and_then(plain)).collect::<StringArray>(),
        ),
    }
}

/// The member of a JSON document that a dotted path names. At each object the whole rest of the
/// path is tried as a name first, so that names that hold dots can be reached; a list is entered by
/// its index.
fn member(document: &str, path: &str) -> Option<Value> {
    let document: Value = serde_json::from_str(document).ok()?;
    let mut value = &document;
    let mut rest = path;
    loop {
        if let Some(found) = value.get(rest) {
            return Some(found.clone());
        }
        let (name, further) = rest.split_once('.').unwrap_or((rest, ""));
        value = match value {
            Value::Array(items) => items.get(name.parse::<usize>().ok()?)?,
            other => other.get(name)?,
        };
        if further.is_empty() {
            return Some(value.clone());
        }
        rest = further;
    }
}

/// A text, number or flag as text; a list or object as JSON.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// A whole number, also one written as text, as 64-bit integers are in some logs.
fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// True or false, also written as text.
fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The form of a text in which case does not matter.
pub(super) fn case_fold(text: &str) -> String {
    text.to_lowercase()
}

/// Whether `pattern` matches the whole of `text`: `*` stands for any run of characters, everything
/// else for itself. The first piece must begin the text, the last must end it, and those between
/// are found from left to right, which is enough for patterns of this form.
pub fn glob(text: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
        let Some((_, after)) = text.split_once(piece) else { return false };
        text = after;
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        for (text, pattern) in [
            ("", ""),
            ("", "*"),
            ("abc", "abc"),
            ("abc", "*"),
            ("abc", "a*"),
            ("abc", "*c"),
            ("abc", "a*c"),
            ("ac", "a*c"),
            ("abcbc", "a*bc"),
            ("a.b", "a.b"),
            ("xaybz", "*a*b*"),
            ("aab", "*ab"),
            ("a[b", "a[*"),
            ("ééx", "é*x"),
        ] {
            assert!(glob(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in [
            ("abc", ""),
            ("abc", "ab"),
            ("abc", "A*"),
            ("a", "a*a"),
            ("abc", "*b"),
            ("ab", "a?"),
            ("ba", "*a*b*"),
            ("aXb", "a.b"),
        ] {
            assert!(!glob(text, pattern), "{text} {pattern}");
        }
    }

    #[test]
    fn a_path_leads_to_a_member_or_to_nothing() {
        let document = r#"{"a":{"b":"x","n":"30","c":[1,{"d":true}]},"a.b":"dotted","t":"TRUE",
            "big":9223372036854775808,"half":1.5,"none":null}"#;
        let text = |path| member(document, path).as_ref().and_then(plain);
        assert_eq!(text("a.n").as_deref(), Some("30"));
        assert_eq!(text("a.b").as_deref(), Some("dotted"));
        assert_eq!(text("a.c.1.d").as_deref(), Some("true"));
        assert_eq!(text("a.c").as_deref(), Some(r#"[1,{"d":true}]"#));
        for nothing in ["", ".", "a.", "a..b", "x", "none", "a.c.9", "a.c.x", "a.b.c"] {
            assert_eq!(text(nothing).filter(|_| nothing != "a."), None, "{nothing}");
        }
        let number = |path| member(document, path).as_ref().and_then(whole_number);
        assert_eq!((number("a.n"), number("a.c.0")), (Some(30), Some(1)));
        assert_eq!((number("big"), number("half"), number("t")), (None, None, None));
        assert_eq!(member(document, "t").as_ref().and_then(flag), Some(true));
        assert_eq!(member("not json", "a"), None);
    }

    proptest::proptest! {
        #[test]
        fn hostile_texts_never_panic(text in ".{0,40}", other in ".{0,12}") {
            glob(&text, &other);
            member(&text, &other);
            member(&format!("{{\"a\":{{\"b\":[{text:?}]}}}}"), &format!("a.b.{other}"));
        }

        #[test]
        fn a_glob_agrees_with_its_definition(text in "[ab]{0,8}", pattern in "[ab*]{0,6}") {
            fn slow(text: &[u8], pattern: &[u8]) -> bool {
                match pattern.split_first() {
                    None => text.is_empty(),
                    Some((b'*', rest)) => (0..=text.len()).any(|at| slow(&text[at..], rest)),
                    Some((first, rest)) => {
                        text.split_first().is_some_and(|(own, after)| own == first && slow(after, rest))
                    }
                }
            }
            proptest::prop_assert_eq!(glob(&text, &pattern), slow(text.as_bytes(), pattern.as_bytes()));
        }
    }
}
