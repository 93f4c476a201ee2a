//! Parameters of rules and views: typed values that stand in a query as `$name`.
//!
//! A duration such as `365d` has two companions: `$name_days`, where it is a whole number of days,
//! and `$name_seconds`, both 64-bit integers; arithmetic between a time and the duration itself
//! uses the interval `$name`.

use std::collections::BTreeMap;

use super::error::RuleError;

/// The longest duration: 100 years.
const MAX_MINUTES: i64 = 36_525 * 24 * 60;

/// A parameter's value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Param {
    /// A duration, in minutes.
    Duration {
        /// How long it is.
        minutes: i64,
        /// As it was written: digits and one of `m`, `h`, `d`, `w`.
        text: String,
    },
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Flag(bool),
    /// A text that is no duration.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
}

/// Parameters by name.
pub type Params = BTreeMap<String, Param>;

/// Units of a duration: suffix, minutes.
const UNITS: &[(char, i64)] = &[('m', 1), ('h', 60), ('d', 1440), ('w', 10_080)];

/// Reads a duration such as `365d`; `None` for anything else, and beyond 100 years.
pub(super) fn duration(text: &str) -> Option<i64> {
    let (unit, minutes) = UNITS.iter().find(|(unit, _)| text.ends_with(*unit))?;
    let digits = text.strip_suffix(*unit)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: i64 = digits.parse().ok()?;
    count.checked_mul(*minutes).filter(|total| *total <= MAX_MINUTES)
}

impl Param {
    /// Reads a parameter from a header. Errors name what is allowed.
    pub(super) fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::String(text) => Ok(Self::from_text(text)),
            toml::Value::Integer(number) => Ok(Self::Int(*number)),
            toml::Value::Float(number) if number.is_finite() => Ok(Self::Float(*number)),
            toml::Value::Boolean(flag) => Ok(Self::Flag(*flag)),
            toml::Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
                .map(Self::Texts)
                .ok_or_else(|| "a list may hold texts only".to_owned()),
            _ => Err("a parameter is a duration, a number, true or false, a text, or a list of \
                      texts"
                .to_owned()),
        }
    }

    fn from_text(text: &str) -> Self {
        match duration(text) {
            Some(minutes) => Self::Duration { minutes, text: text.to_owned() },
            None => Self::Text(text.to_owned()),
        }
    }

    /// Reads a value given on the command line for a parameter of this type. Errors say what the
    /// type is.
    pub(super) fn parse_like(&self, text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = |kind: &str| format!("`{text}` is not {kind}");
        match self {
            Self::Duration { .. } => match Self::from_text(text) {
                value @ Self::Duration { .. } => Ok(value),
                _ => Err(wrong("a duration such as 90d, 12h, 30m or 2w")),
            },
            Self::Int(_) => text.parse().map(Self::Int).map_err(|_| wrong("a whole number")),
            Self::Float(_) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Self::Float(number)),
                _ => Err(wrong("a number")),
            },
            Self::Flag(_) => text.parse().map(Self::Flag).map_err(|_| wrong("true or false")),
            Self::Text(_) => Ok(Self::Text(text.to_owned())),
            Self::Texts(_) => Ok(Self::Texts(
                text.split(',')
                    .map(|item| item.trim().to_owned())
                    .filter(|item| !item.is_empty())
                    .collect(),
            )),
        }
    }

    /// The value as a person would write it.
    pub fn as_written(&self) -> String {
        match self {
            Self::Duration { text, .. } | Self::Text(text) => text.clone(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Texts(items) => items.join(","),
        }
    }

    /// The SQL literals that the parameter stands for: its own, and its companions'.
    pub(super) fn literals(&self, name: &str) -> Vec<(String, String)> {
        let own = |sql: String| vec![(name.to_owned(), sql)];
        match self {
            Self::Duration { minutes, .. } => {
                let mut all = own(interval(*minutes));
                all.push((format!("{name}_seconds"), big(minutes * 60)));
                if minutes % 1440 == 0 {
                    all.push((format!("{name}_days"), big(minutes / 1440)));
                }
                all
            }
            Self::Int(number) => own(big(*number)),
            Self::Float(number) => own(format!("CAST('{number}' AS DOUBLE)")),
            Self::Flag(flag) => own(flag.to_string()),
            Self::Text(text) => own(quoted(text)),
            Self::Texts(items) if items.is_empty() => {
                own("arrow_cast(make_array(), 'List(Utf8)')".to_owned())
            }
            Self::Texts(items) => {
                let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
                own(format!("make_array({})", items.join(", ")))
            }
        }
    }
}

/// `CAST` keeps negative numbers and small ones of one type.
fn big(number: i64) -> String {
    format!("CAST('{number}' AS BIGINT)")
}

fn interval(minutes: i64) -> String {
    if minutes % 1440 == 0 {
        format!("INTERVAL '{} days'", minutes / 1440)
    } else {
        format!("INTERVAL '{minutes} minutes'")
    }
}

/// A text as an SQL literal.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A parameter set for one run: `ROT-01.period=90d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamOverride {
    /// The rule or view that it is for.
    pub rule: String,
    /// The parameter.
    pub param: String,
    /// The value as written; its type is that of the rule's own value.
    pub value: String,
}

impl ParamOverride {
    /// Reads `RULE.param=value`.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        text.split_once('=')
            .and_then(|(name, value)| {
                let (rule, param) = name.rsplit_once('.')?;
                let (rule, param) = (rule.trim().to_owned(), param.trim().to_owned());
                let whole = !rule.is_empty() && !param.is_empty();
                whole.then(|| Self { rule, param, value: value.trim().to_owned() })
            })
            .ok_or_else(|| RuleError::Parameter {
                name: text.to_owned(),
                problem: "write RULE.param=value, such as ROT-01.period=90d".to_owned(),
            })
    }
}

/// The parameters of one rule or view with the overrides that are for it.
pub(super) fn resolve(
    owner: &str,
    defaults: &Params,
    overrides: &[ParamOverride],
) -> Result<Params, RuleError> {
    let mut params = defaults.clone();
    for change in overrides.iter().filter(|change| change.rule.eq_ignore_ascii_case(owner)) {
        let name = format!("{}.{}", change.rule, change.param);
        let Some(default) = defaults.get(&change.param) else {
            let known: Vec<&str> = defaults.keys().map(String::as_str).collect();
            let problem = if known.is_empty() {
                format!("{owner} has no parameters")
            } else {
                format!("{owner} has no such parameter; it has {}", known.join(", "))
            };
            return Err(RuleError::Parameter { name, problem });
        };
        let value = default
            .parse_like(&change.value)
            .map_err(|problem| RuleError::Parameter { name, problem })?;
        params.insert(change.param.clone(), value);
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_digits_and_one_unit() {
        for (text, minutes) in [("365d", 525_600), ("12h", 720), ("30m", 30), ("2w", 20_160)] {
            assert_eq!(duration(text), Some(minutes), "{text}");
        }
        for text in ["", "d", "1.5d", "-1d", "1y", "1 d", "365", "99999999999999999999d", "९d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn an_override_keeps_the_type_of_the_default() {
        let defaults = Params::from([
            ("period".to_owned(), Param::from_text("365d")),
            ("count".to_owned(), Param::Int(3)),
            ("names".to_owned(), Param::Texts(vec!["a".to_owned()])),
        ]);
        let set = |text: &str| resolve("R-1", &defaults, &[ParamOverride::parse(text).unwrap()]);
        assert_eq!(set("R-1.period=90d").unwrap()["period"].as_written(), "90d");
        assert_eq!(set("r-1.count=-4").unwrap()["count"], Param::Int(-4));
        assert_eq!(set("R-1.names=x, y").unwrap()["names"].as_written(), "x,y");
        assert_eq!(set("R-2.nothing=1").unwrap(), defaults);
        for (bad, says) in [
            ("R-1.period=90", "not a duration"),
            ("R-1.count=1.5", "not a whole number"),
            ("R-1.perod=90d", "count, names, period"),
        ] {
            assert!(set(bad).unwrap_err().to_string().contains(says), "{bad}");
        }
        for bad in ["", "R-1", "R-1.period", "period=90d", ".p=1"] {
            assert!(ParamOverride::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_quote_in_a_text_does_not_end_the_literal() {
        assert_eq!(quoted("a' OR '1'='1"), "'a'' OR ''1''=''1'");
    }
}
