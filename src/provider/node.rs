//! JSON as it stands in the text: a tree that borrows names and texts from the record.
//!
//! Most of a record is never looked at. A tree of owned strings and sorted maps costs more to build
//! and to drop than everything else that is done with the record; this one costs an allocation for
//! each object and array.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Json;

/// A JSON value that borrows from its text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A whole number that fits.
    Whole(i64),
    /// Any other number; no mapper looks at one.
    Other,
    /// A text.
    Text(Cow<'a, str>),
    /// An array.
    Items(Vec<Self>),
    /// An object, in the order of the text.
    Members(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Node<'a> {
    /// Reads a value.
    ///
    /// # Errors
    /// When `text` is not JSON, or nested too deep.
    pub(crate) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// How often a member of this name stands in an object.
    pub(crate) fn count(&self, name: &str) -> usize {
        match self {
            Self::Members(members) => members.iter().filter(|(member, _)| member == name).count(),
            _ => 0,
        }
    }
}

impl Json for Node<'_> {
    /// The last of that name, as other readers have it.
    fn member(&self, name: &str) -> Option<&Self> {
        let Self::Members(members) = self else { return None };
        members.iter().rev().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    fn is_nothing(&self) -> bool {
        matches!(self, Self::Null)
    }

    fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn as_whole(&self) -> Option<i64> {
        if let Self::Whole(number) = self { Some(*number) } else { None }
    }

    fn as_flag(&self) -> Option<bool> {
        if let Self::Flag(flag) = self { Some(*flag) } else { None }
    }

    fn as_items(&self) -> &[Self] {
        if let Self::Items(items) = self { items } else { &[] }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Node<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Node<'de>, E> {
        Ok(Node::Flag(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Node<'de>, E> {
        Ok(Node::Whole(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node<'de>, E> {
        Ok(i64::try_from(number).map_or(Node::Other, Node::Whole))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Node<'de>, E> {
        Ok(Node::Other)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::Items(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node<'de>, A::Error> {
        let mut members = Vec::with_capacity(8);
        while let Some(Name(name)) = access.next_key()? {
            members.push((name, access.next_value()?));
        }
        Ok(Node::Members(members))
    }
}

/// The name of a member, borrowed where it holds no escape.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Both readers of JSON must tell the same of every path.
    fn same(node: &Node<'_>, value: &Value) {
        assert_eq!(node.is_nothing(), value.is_null());
        assert_eq!(node.as_text(), value.as_str());
        assert_eq!(node.as_flag(), value.as_bool());
        assert_eq!(node.as_whole(), value.as_i64());
        assert_eq!(node.as_items().len(), value.as_items().len());
        node.as_items().iter().zip(value.as_items()).for_each(|(node, value)| same(node, value));
        for (name, value) in value.as_object().into_iter().flatten() {
            same(node.member(name).unwrap(), value);
        }
    }

    #[test]
    fn a_borrowed_value_tells_what_an_owned_one_tells() {
        let text = r#"{"a":[1,-2,18446744073709551615,0.5,1e3,"x\ny\u20ac"],"b":{"c":null,"c":true},
            "\u0062":"last of its name","e\"":{},"f":[[],[{}]],"g":""}"#;
        same(&Node::parse(text).unwrap(), &serde_json::from_str(text).unwrap());
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_refused() {
        for bad in ["{", "[1,]", "{\"a\":tru}", "1 2", ""] {
            assert!(Node::parse(bad).is_err(), "{bad}");
        }
        assert!(Node::parse(&"[".repeat(100_000)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_like_an_owned_value(text in "[\\[\\]{}\",:a1e.\\\ntrufals0-]{0,40}") {
            match (Node::parse(&text), serde_json::from_str::<Value>(&text)) {
                (Ok(node), Ok(value)) => same(&node, &value),
                (node, value) => assert_eq!(node.is_ok(), value.is_ok(), "{text}"),
            }
        }
    }
}
