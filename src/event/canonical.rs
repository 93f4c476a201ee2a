//! Canonical JSON (RFC 8785): one spelling for one value.

use std::fmt::Write as _;

use serde_json::Value;

/// Writes JSON text in its canonical form.
///
/// # Errors
/// When `text` is not JSON.
pub fn canonical_json(text: &str) -> Result<String, serde_json::Error> {
    Ok(canonical_value(&serde_json::from_str(text)?))
}

/// Writes a value in canonical form: members sorted by the UTF-16 code units of their names, no
/// white space, shortest escapes, numbers as ECMAScript prints them.
pub fn canonical_value(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (index, name) in names.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(out, name);
                out.push(':');
                write_value(out, members.get(name).unwrap_or(&Value::Null));
            }
            out.push('}');
        }
    }
}

/// Integers stand as they are: ids beyond 2^53 occur in logs and must not be merged by rounding.
fn write_number(out: &mut String, number: &serde_json::Number) {
    if number.is_i64() || number.is_u64() {
        out.push_str(&number.to_string());
        return;
    }
    let value = number.as_f64().unwrap_or(f64::NAN);
    if value == 0.0 {
        out.push('0');
    } else if value.fract() == 0.0 && value.abs() < 1e21 {
        write!(out, "{value:.0}").unwrap_or_default();
    } else if (1e-6..1e21).contains(&value.abs()) {
        out.push_str(&value.to_string());
    } else {
        let text = format!("{value:e}");
        out.push_str(&if text.contains("e-") { text } else { text.replace('e', "e+") });
    }
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if control < ' ' => {
                // Writing to a string cannot fail.
                write!(out, "\\u{:04x}", u32::from(control)).unwrap_or_default();
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_8785_come_out_as_printed_there() {
        let text = "{\"numbers\":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],\
            \"string\":\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\
            \"literals\":[null,true,false]}";
        let expected = "{\"literals\":[null,true,false],\
            \"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
            \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(canonical_json(text).unwrap(), expected);
    }

    #[test]
    fn names_are_sorted_by_utf_16_code_units() {
        let text = r#"{"\ud83d\ude00":1,"\ufb33":2,"a":3}"#;
        assert_eq!(canonical_json(text).unwrap(), "{\"a\":3,\"😀\":1,\"\u{fb33}\":2}");
    }

    #[test]
    fn large_integers_keep_every_digit() {
        assert_eq!(canonical_json("18446744073709551615").unwrap(), "18446744073709551615");
    }
}
