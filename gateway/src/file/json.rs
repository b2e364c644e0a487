//! Parses JSON with the line of every value, so that each problem can name its line.
//!
//! It accepts only RFC 8259: no comments, and no trailing commas. It does not interpret values. Duplicate members of an
//! object are kept here and refused where keys are checked.

use std::fmt;

/// How deep arrays and objects may be nested. Real files need a dozen levels.
pub(super) const DEEPEST: usize = 64;

/// A value, with the number of the line where it begins, from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The number of the line.
    pub line: usize,
    /// The value itself.
    pub value: Value,
}

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, in its original spelling.
    Number(String),
    /// A string, without its escapes.
    Text(String),
    /// An array of values.
    Array(Vec<Node>),
    /// An object, with its members in their original order.
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The name of the member.
    pub name: String,
    /// The number of the line with the name.
    pub line: usize,
    /// The member's value.
    pub node: Node,
}

/// The error if the text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotJson {
    /// The number of the line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl Node {
    /// Finds the member with this name, if this is an object.
    pub fn member(&self, name: &str) -> Option<&Member> {
        match &self.value {
            Value::Object(members) => members.iter().find(|member| member.name == name),
            _ => None,
        }
    }

    /// The kind of the value, in words for people.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }
}

/// The value as compact JSON.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match &self.value {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(text) => f.write_str(text),
            Value::Text(text) => f.write_str(&quoted(text)),
            Value::Array(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index > 0 { "," } else { "" })?;
                }
                f.write_str("]")
            }
            Value::Object(members) => {
                f.write_str("{")?;
                for (index, member) in members.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma}{}:{}", quoted(&member.name), member.node)?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Parses a document. A byte order mark before it is ignored, because editors on Windows write one.
///
/// # Errors
/// [`NotJson`], with the first place that is not JSON.
pub fn parse(text: &str) -> Result<Node, NotJson> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser { text, at: 0, line: 1 };
    let node = parser.node(0)?;
    parser.skip_blanks();
    match parser.peek() {
        None => Ok(node),
        Some(_) => Err(parser.wrong("something follows the end of the document")),
    }
}

/// Whether a text is a number as JSON writes it.
pub(super) fn is_number(text: &str) -> bool {
    // The library only checks the grammar here.
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit())
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn wrong(&self, what: &'static str) -> NotJson {
        let before = &self.text[..self.at];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        NotJson {
            line: self.line,
            column: before[start..].chars().count() + 1,
            what,
        }
    }

    fn skip_blanks(&mut self) {
        while let Some(octet @ (b' ' | b'\t' | b'\r' | b'\n')) = self.peek() {
            self.line += usize::from(octet == b'\n');
            self.at += 1;
        }
    }

    /// Skips blanks, and takes this byte if it is the next one.
    fn takes(&mut self, octet: u8) -> bool {
        self.skip_blanks();
        let is_next = self.peek() == Some(octet);
        self.at += usize::from(is_next);
        is_next
    }

    fn node(&mut self, depth: usize) -> Result<Node, NotJson> {
        self.skip_blanks();
        if depth == DEEPEST {
            return Err(self.wrong("arrays and objects are nested more than 64 deep"));
        }
        let line = self.line;
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(b'/') => return Err(self.wrong("JSON has no comments; begin the name of a key with _ or # instead")),
            Some(b'}' | b']') => {
                return Err(self.wrong("a value is missing here; remove the comma before it, if that is one too many"));
            }
            Some(_) => return Err(self.wrong("no JSON value begins like this")),
            None => return Err(self.wrong("the document is incomplete")),
        };
        Ok(Node { line, value })
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, NotJson> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.wrong("no JSON value begins like this"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Value, NotJson> {
        self.at += 1;
        let mut items = Vec::new();
        if self.takes(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.node(depth + 1)?);
            if self.takes(b']') {
                return Ok(Value::Array(items));
            }
            if !self.takes(b',') {
                return Err(self.wrong("a comma or ] is missing here"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, NotJson> {
        self.at += 1;
        let mut members = Vec::new();
        if self.takes(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_blanks();
            if self.peek() != Some(b'"') {
                return Err(self.wrong(
                    "the name of a key in quotes is missing here; remove the comma before it, if that is \
                                one too many",
                ));
            }
            let line = self.line;
            let name = self.string()?;
            if !self.takes(b':') {
                return Err(self.wrong("a colon is missing here"));
            }
            let node = self.node(depth + 1)?;
            members.push(Member { name, line, node });
            if self.takes(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.takes(b',') {
                return Err(self.wrong("a comma or } is missing here"));
            }
        }
    }

    fn string(&mut self) -> Result<String, NotJson> {
        let start = self.at;
        let octets = self.text.as_bytes();
        let mut end = start + 1;
        loop {
            match octets.get(end) {
                None | Some(b'\n') => return Err(self.wrong("this text has no closing quote on its line")),
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
            }
        }
        let Some(quoted) = self.text.get(start..=end) else {
            return Err(self.wrong("this text has no closing quote on its line"));
        };
        let text = serde_json::from_str(quoted)
            .map_err(|_| self.wrong("this text has an escape or a control character that JSON does not allow"))?;
        self.at = end + 1;
        Ok(text)
    }

    fn number(&mut self) -> Result<String, NotJson> {
        let rest = &self.text[self.at..];
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let text = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        if !is_number(text) {
            return Err(self.wrong("this is not a number"));
        }
        self.at += text.len();
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_and_every_key_has_its_line() {
        let node = parse("\u{feff}{\n  \"a\": 1,\n  \"b\": [\n    true,\n    {\"c\":\n null}\n  ]\n}\n").expect("JSON");
        assert_eq!(node.line, 1);
        let b = node.member("b").expect("a member");
        assert_eq!((b.line, b.node.line), (3, 3));
        let Value::Array(items) = &b.node.value else {
            panic!("an array")
        };
        assert_eq!((items[0].line, items[1].line), (4, 5));
        assert_eq!(items[1].member("c").expect("a member").node.line, 6);
    }

    #[test]
    fn a_value_is_written_as_compact_json_with_its_digits() {
        let text = r#"{"a":[1.50,-0,1e5,"x\"\u00e9",true,null],"a":{}}"#;
        assert_eq!(
            parse(text).expect("JSON").to_string(),
            r#"{"a":[1.50,-0,1e5,"x\"é",true,null],"a":{}}"#
        );
    }

    #[test]
    fn what_is_no_json_is_refused_with_the_place() {
        for (text, line, column, says) in [
            ("", 1, 1, "is incomplete"),
            ("{\n \"a\": 1,\n}", 3, 1, "one too many"),
            ("[1,]", 1, 4, "one too many"),
            ("{\n // no\n}", 2, 2, "name of a key"),
            ("[// no\n]", 1, 2, "no comments"),
            ("{\"a\" 1}", 1, 6, "a colon"),
            ("{\"a\":1 \"b\":2}", 1, 8, "a comma or }"),
            ("[1 2]", 1, 4, "a comma or ]"),
            ("{\"a\":\n \"b\n\"}", 2, 2, "no closing quote"),
            ("\"\\", 1, 1, "no closing quote"),
            ("\"\\x\"", 1, 1, "an escape"),
            ("\"\\ud800\"", 1, 1, "an escape"),
            ("01", 1, 1, "not a number"),
            ("1 2", 1, 3, "follows the end"),
            ("tru", 1, 1, "begins like this"),
            ("é", 1, 1, "begins like this"),
        ] {
            let wrong = parse(text).expect_err(text);
            assert_eq!((wrong.line, wrong.column), (line, column), "{text:?}: {}", wrong.what);
            assert!(wrong.what.contains(says), "{text:?}: {}", wrong.what);
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
