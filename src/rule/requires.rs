//! The condition that a control puts on a rule's parameters: `period <= 365d and count >= 2`.

use std::cmp::Ordering;

use super::param::{Param, Params, duration};

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
struct Comparison {
    param: String,
    operator: Operator,
    bound: Param,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
}

/// Operators, the longer before the ones that they begin with.
const OPERATORS: &[(&str, Operator)] = &[
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("==", Operator::Equal),
    ("<", Operator::Below),
    (">", Operator::Above),
    ("=", Operator::Equal),
];

/// Checks that `condition` can be read and fits the parameters. Errors say what is wrong.
pub(super) fn check(condition: &str, params: &Params) -> Result<(), String> {
    for comparison in parse(condition)? {
        comparison.holds(params)?;
    }
    Ok(())
}

/// Whether the parameters are as strict as `condition` demands; where they are not, the sentence
/// that says so.
pub(super) fn weakness(condition: &str, params: &Params) -> Option<String> {
    let comparisons = match parse(condition) {
        Ok(comparisons) => comparisons,
        Err(problem) => return Some(problem),
    };
    comparisons.iter().find_map(|comparison| match comparison.holds(params) {
        Ok(true) => None,
        Ok(false) => {
            let used = params.get(&comparison.param).map(Param::as_written).unwrap_or_default();
            let name = &comparison.param;
            Some(format!("the rule ran with {name} = {used}; this clause requires {condition}"))
        }
        Err(problem) => Some(problem),
    })
}

fn parse(condition: &str) -> Result<Vec<Comparison>, String> {
    condition.split(" and ").map(|part| comparison(part.trim())).collect()
}

fn comparison(text: &str) -> Result<Comparison, String> {
    let unreadable = || {
        format!(
            "`{text}` cannot be read as a condition; write `<parameter> <= <duration or number>`, \
             with <=, <, >=, > or ==, joined by `and`"
        )
    };
    let (name, operator, bound) = OPERATORS
        .iter()
        .find_map(|(sign, operator)| {
            text.split_once(sign).map(|(name, bound)| (name.trim(), *operator, bound.trim()))
        })
        .ok_or_else(unreadable)?;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let bound = bound_value(bound).ok_or_else(unreadable)?;
    if name.is_empty() || !name.chars().all(word) {
        return Err(unreadable());
    }
    if matches!(bound, Param::Flag(_)) && operator != Operator::Equal {
        return Err(unreadable());
    }
    Ok(Comparison { param: name.to_owned(), operator, bound })
}

fn bound_value(text: &str) -> Option<Param> {
    if let Some(minutes) = duration(text) {
        return Some(Param::Duration { minutes, text: text.to_owned() });
    }
    if let Ok(number) = text.parse::<i64>() {
        return Some(Param::Int(number));
    }
    if let Ok(flag) = text.parse::<bool>() {
        return Some(Param::Flag(flag));
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Param::Float)
}

impl Comparison {
    fn holds(&self, params: &Params) -> Result<bool, String> {
        let name = &self.param;
        let value = params
            .get(name)
            .ok_or_else(|| format!("the condition names `{name}`, which is not a parameter"))?;
        let order = compare(value, &self.bound).ok_or_else(|| {
            format!(
                "`{name}` is `{}` and cannot be compared with `{}`",
                value.as_written(),
                self.bound.as_written()
            )
        })?;
        Ok(match self.operator {
            Operator::AtMost => order != Ordering::Greater,
            Operator::Below => order == Ordering::Less,
            Operator::AtLeast => order != Ordering::Less,
            Operator::Above => order == Ordering::Greater,
            Operator::Equal => order == Ordering::Equal,
        })
    }
}

fn compare(value: &Param, bound: &Param) -> Option<Ordering> {
    match (value, bound) {
        (Param::Duration { minutes: a, .. }, Param::Duration { minutes: b, .. })
        | (Param::Int(a), Param::Int(b)) => Some(a.cmp(b)),
        (Param::Flag(a), Param::Flag(b)) => Some(a.cmp(b)),
        _ => number(value)?.partial_cmp(&number(bound)?),
    }
}

fn number(param: &Param) -> Option<f64> {
    match param {
        // Written and read again: there is no lossless conversion, and thresholds are small.
        Param::Int(number) => number.to_string().parse().ok(),
        Param::Float(number) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        Params::from([
            ("period".to_owned(), Param::Duration { minutes: 400 * 1440, text: "400d".to_owned() }),
            ("count".to_owned(), Param::Int(2)),
            ("share".to_owned(), Param::Float(0.5)),
            ("strict".to_owned(), Param::Flag(true)),
        ])
    }

    #[test]
    fn a_weaker_parameter_is_named() {
        let note = weakness("period <= 365d and count >= 2", &params()).unwrap();
        assert!(note.contains("period = 400d"), "{note}");
        for strong in [
            "period <= 400d",
            "period<=58w",
            "count >= 2 and share < 0.6",
            "strict == true",
            "share < 1",
        ] {
            assert_eq!(weakness(strong, &params()), None, "{strong}");
        }
        for weak in ["period < 400d", "count > 2", "strict == false", "count == 3"] {
            assert!(weakness(weak, &params()).is_some(), "{weak}");
        }
    }

    #[test]
    fn what_cannot_be_read_or_compared_is_an_error() {
        for bad in [
            "",
            "period",
            "period <= ",
            "<= 365d",
            "period <= 365",
            "perod <= 365d",
            "period <= 365d or count > 1",
            "count >= 2d",
            "strict > true",
            "a b <= 1",
            "period <= 1y",
        ] {
            assert!(check(bad, &params()).is_err(), "{bad}");
        }
    }
}
