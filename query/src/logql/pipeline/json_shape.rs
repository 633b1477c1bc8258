//! Lines of one stream mostly have one shape: the same fields in the same order, with other values. A shape that was seen
//! before is followed by comparing what stands between the values, so a line is walked without looking at its keys.
//!
//! ```text
//! line    {"level":"info","user":17,"status":200}
//! shape   {"level":"    ","user":  ,"status":   }     text, bare, bare; the status is wanted
//! ```
//!
//! What stands between the values is equal byte by byte, and values end where [`json_scan`] says they end, so a line that
//! follows a shape to its end is one that [`json_scan::each_field`] walks to its end, over the same fields.

use std::ops::{ControlFlow, Range};

use super::json_scan::{self, Kind};

/// Shapes that are tried on a line.
const MAX_SHAPES: usize = 8;
/// Lines with more fields than this are walked as they are.
const MAX_FIELDS: usize = 128;
/// Bytes between the values of a line that are kept at most.
const MAX_TEXT_BYTES: usize = 4 << 10;
/// Credit of lines that follow no known shape, at the start and at the most: one costs [`MISS_COST`], and one that follows a
/// shape brings 1 back.
const START_CREDIT: u32 = 64;
const MAX_CREDIT: u32 = 256;
const MISS_COST: u32 = 4;
/// Lines that are not tried once the credit is used up: those of this stream differ.
const PAUSE_LINES: u32 = 2048;

/// How a value is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Bare,
    Array,
    Object,
}

#[derive(Debug)]
struct Field<T> {
    /// Where in [`Shape::text`] the bytes stand from the value before to this one.
    before: Range<usize>,
    form: Form,
    wanted: Option<T>,
}

#[derive(Debug)]
struct Shape<T> {
    text: Vec<u8>,
    fields: Vec<Field<T>>,
    /// What stands behind the last value, as far as the closing brace.
    tail: Range<usize>,
}

/// What is to be done with the values of a field.
pub(super) enum Use<T> {
    /// Nothing: they change nothing.
    Skip,
    /// They are wanted, under this name.
    Value(T),
    /// Lines with this field cannot be walked by their shape.
    Unknown,
}

/// How a line was walked by its shape.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Walked<S> {
    /// To its end.
    Whole(S),
    /// Up to a value behind which the visitor wanted no more.
    Stopped(S),
    /// Not: it follows no known shape.
    Not,
}

/// The shapes of the lines before. `T` names what is wanted.
#[derive(Debug)]
pub(super) struct Shapes<T> {
    known: Vec<Shape<T>>,
    /// That of the line before.
    last: usize,
    /// Which is forgotten next.
    oldest: usize,
    credit: u32,
    pause: u32,
}

impl<T> Default for Shapes<T> {
    fn default() -> Self {
        Shapes {
            known: Vec::new(),
            last: 0,
            oldest: 0,
            credit: START_CREDIT,
            pause: 0,
        }
    }
}

impl<T> Shapes<T> {
    /// Walks a line, the shape of the line before first. `found` gets the number of each wanted field in its shape, its name
    /// and its value, which may be `null`; what it gathers in `S` begins anew for each shape that is tried. A line that
    /// follows none is remembered by what `usage` says of its fields.
    pub fn walk<'l, S: Default>(
        &mut self,
        line: &'l [u8],
        usage: impl FnMut(&str, Kind) -> Use<T>,
        mut found: impl FnMut(&mut S, usize, &T, Kind, &'l [u8]) -> ControlFlow<()>,
    ) -> Walked<S> {
        if self.pause > 0 {
            self.pause -= 1;
            return Walked::Not;
        }
        let others = (0..self.known.len()).filter(|number| *number != self.last);
        let mut follow = |shape: &Shape<T>| {
            let mut state = S::default();
            Some(match shape.walk(line, &mut state, &mut found)? {
                ControlFlow::Continue(()) => Walked::Whole(state),
                ControlFlow::Break(()) => Walked::Stopped(state),
            })
        };
        let mut walked = self.known.get(self.last).and_then(&mut follow);
        if walked.is_none()
            && let Some((number, found)) = others.filter_map(|n| Some((n, follow(self.known.get(n)?)?))).next()
        {
            self.last = number;
            walked = Some(found);
        }
        if let Some(walked) = walked {
            self.credit = (self.credit + 1).min(MAX_CREDIT);
            return walked;
        }
        self.credit = self.credit.saturating_sub(MISS_COST);
        if self.credit == 0 {
            *self = Shapes {
                pause: PAUSE_LINES,
                ..Shapes::default()
            };
            return Walked::Not;
        }
        if let Some(shape) = Shape::of(line, usage) {
            self.remember(shape);
        }
        Walked::Not
    }

    fn remember(&mut self, shape: Shape<T>) {
        if self.known.len() < MAX_SHAPES {
            self.last = self.known.len();
            self.known.push(shape);
            return;
        }
        self.last = self.oldest;
        self.oldest = (self.oldest + 1) % MAX_SHAPES;
        if let Some(place) = self.known.get_mut(self.last) {
            *place = shape;
        }
    }

    /// The name of a field of the shape that was followed last.
    pub fn name(&self, field: usize) -> Option<&T> {
        self.known.get(self.last)?.fields.get(field)?.wanted.as_ref()
    }
}

impl<T> Shape<T> {
    /// The shape of a line; `None` where it has none that can be followed.
    fn of(line: &[u8], mut usage: impl FnMut(&str, Kind) -> Use<T>) -> Option<Shape<T>> {
        let base = line.as_ptr() as usize;
        let mut shape = Shape {
            text: Vec::new(),
            fields: Vec::new(),
            tail: 0..0,
        };
        let mut end = 0;
        let walked = json_scan::each_field(line, &mut String::new(), |key, kind, value, _| {
            let form = match kind {
                Kind::String => Form::Text,
                Kind::Number | Kind::Boolean | Kind::Null => Form::Bare,
                Kind::Array => Form::Array,
                Kind::Object => Form::Object,
            };
            let wanted = match usage(key, kind) {
                Use::Skip => None,
                Use::Value(name) => Some(name),
                Use::Unknown => return Err(()),
            };
            let start = value.as_ptr() as usize - base;
            let before = shape.push(line.get(end..start).ok_or(())?)?;
            shape.fields.push(Field { before, form, wanted });
            // The closing quote belongs to the value.
            end = start + value.len() + usize::from(form == Form::Text);
            if shape.fields.len() > MAX_FIELDS {
                Err(())
            } else {
                Ok(())
            }
        });
        walked.ok()?;
        // Behind the last value stand blanks, at most a comma, and the brace that ended the walk.
        let rest = line.get(end..)?;
        let brace = memchr::memchr(b'}', rest)?;
        shape.tail = shape.push(&rest[..=brace]).ok()?;
        Some(shape)
    }

    fn push(&mut self, text: &[u8]) -> Result<Range<usize>, ()> {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        if self.text.len() > MAX_TEXT_BYTES {
            return Err(());
        }
        Ok(start..self.text.len())
    }

    /// `None` where the line does not follow the shape.
    #[inline]
    fn walk<'l, S>(
        &self,
        line: &'l [u8],
        state: &mut S,
        found: &mut impl FnMut(&mut S, usize, &T, Kind, &'l [u8]) -> ControlFlow<()>,
    ) -> Option<ControlFlow<()>> {
        let mut rest = line;
        for (number, field) in self.fields.iter().enumerate() {
            rest = behind(rest, self.text.get(field.before.clone())?)?;
            let (kind, len, end) = match field.form {
                Form::Text => {
                    let (end, _) = json_scan::string_end(rest)?;
                    (Kind::String, end - 1, end)
                }
                Form::Bare => {
                    let (kind, len) = json_scan::bare(rest).ok()?;
                    (kind, len, len)
                }
                Form::Array if rest.first() == Some(&b'[') => {
                    let end = json_scan::block_end(rest, b'[', b']')?;
                    (Kind::Array, end, end)
                }
                Form::Object if rest.first() == Some(&b'{') => {
                    let end = json_scan::block_end(rest, b'{', b'}')?;
                    (Kind::Object, end, end)
                }
                Form::Array | Form::Object => return None,
            };
            if let Some(name) = &field.wanted
                && found(state, number, name, kind, &rest[..len]).is_break()
            {
                return Some(ControlFlow::Break(()));
            }
            rest = &rest[end..];
        }
        behind(rest, self.text.get(self.tail.clone())?)?;
        Some(ControlFlow::Continue(()))
    }
}

/// What follows `text`, where `data` begins with it. Texts are about as long as a key: two loads compare most of them.
#[inline]
fn behind<'l>(data: &'l [u8], text: &[u8]) -> Option<&'l [u8]> {
    let (head, rest) = data.split_at_checked(text.len())?;
    let same = match (head.first_chunk::<8>(), text.first_chunk::<8>()) {
        (Some(a), Some(b)) if text.len() <= 16 => a == b && head.last_chunk::<8>() == text.last_chunk::<8>(),
        (Some(a), Some(b)) => a == b && head == text,
        _ => match (head.first_chunk::<4>(), text.first_chunk::<4>()) {
            (Some(a), Some(b)) => a == b && head.last_chunk::<4>() == text.last_chunk::<4>(),
            _ => head.iter().eq(text),
        },
    };
    same.then_some(rest)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The wanted fields of a line as [`json_scan::each_field`] finds them; nothing where it is malformed.
    fn walked(line: &[u8]) -> Option<Vec<(String, Kind, Vec<u8>)>> {
        let mut out = Vec::new();
        let result = json_scan::each_field::<()>(line, &mut String::new(), |key, kind, value, _| {
            if key.starts_with('w') {
                out.push((key.to_string(), kind, value.to_vec()));
            }
            Ok(())
        });
        result.is_ok().then_some(out)
    }

    fn shaped(shapes: &mut Shapes<String>, line: &[u8]) -> Walked<Vec<(String, Kind, Vec<u8>)>> {
        let usage = |key: &str, _| match key.starts_with('w') {
            true => Use::Value(key.to_string()),
            false => Use::Skip,
        };
        shapes.walk(line, usage, |out: &mut Vec<_>, _, name, kind, value| {
            out.push((name.clone(), kind, value.to_vec()));
            ControlFlow::Continue(())
        })
    }

    #[test]
    fn a_line_follows_the_shape_of_one_before() {
        let mut shapes = Shapes::default();
        let lines: [&[u8]; 8] = [
            br#"{"a":"x","w":1,"b":{"c":[1]}}"#,
            br#"{"a":"a \" quote","w":-2.5e3,"b":{}} and more"#,
            br#"{"a":"","w":null,"b":{"}":"}"}}"#,
            br#"{"a":"x","w":nul,"b":{}}"#,
            br#"{"a":"x","w":"text","b":{}}"#,
            br#"{ "w" : true , "w2":[1,2] ,}"#,
            br#"{ "w" : false , "w2":[] ,}"#,
            br#"{"a":"x","w":7,"b":{"open""#,
        ];
        let outcomes: Vec<bool> = lines
            .iter()
            .map(|line| shaped(&mut shapes, line) != Walked::Not)
            .collect();
        assert_eq!(outcomes, [false, true, true, false, false, false, true, false]);
    }

    #[test]
    fn lines_that_differ_are_left_alone_after_a_while() {
        let mut shapes = Shapes::default();
        let line = |n: u32| format!("{{\"k{n}\":1}}").into_bytes();
        let walks = (0..PAUSE_LINES).filter(|n| {
            shaped(&mut shapes, &line(*n));
            shapes.pause == 0
        });
        assert!(walks.count() < 100);
        assert_eq!(shaped(&mut shapes, &line(1)), Walked::Not);
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            "\"[a-c \\\\\"}{,:]{0,12}\"",
            "\"[a-z0-9]{0,40}\"",
            "-?[0-9]{1,6}(\\.[0-9]{1,2})?",
            prop::sample::select(vec![
                "true",
                "false",
                "null",
                "nul",
                "",
                "[1,\"]\"]",
                "{\"w\":1}",
                "{}",
                "[",
                "{\"x\"",
                "é",
                "1e"
            ])
            .prop_map(str::to_string),
        ]
    }

    /// A line that is JSON or nearly so, with some of these keys.
    pub fn line(keys: &[&'static str]) -> impl Strategy<Value = String> + use<> {
        let blank = || prop::sample::select(vec!["", "", "", " ", "\t"]);
        let key = prop::sample::select(keys.to_vec());
        let field = (key, blank(), blank(), value(), blank())
            .prop_map(|(key, a, b, value, c)| format!("\"{key}\"{a}:{b}{value}{c}"));
        let ends = vec!["}", "}", "}", ",}", "", "} x", "}{"];
        (prop::collection::vec(field, 0..5), prop::sample::select(ends))
            .prop_map(|(fields, end)| format!("{{{}{end}", fields.join(",")))
    }

    /// The line, with one byte changed where a change is asked for.
    pub fn changed(line: &str, change: Option<(prop::sample::Index, u8)>) -> Vec<u8> {
        let mut bytes = line.as_bytes().to_vec();
        if let Some((place, byte)) = change.filter(|_| !bytes.is_empty()) {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes
    }

    proptest! {
        #[test]
        fn what_is_found_by_shape_is_what_a_walk_finds(
            lines in prop::collection::vec(
                line(&["a", "w", "w2", "w\\\"x", "long_key_of_a_field", "w_long_key_of_a_field", ""]), 1..6,
            ),
            order in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..40),
        ) {
            let mut shapes = Shapes::default();
            for (at, place, byte, change) in order {
                let bytes = changed(&lines[at.index(lines.len())], (change == 0).then_some((place, byte)));
                match shaped(&mut shapes, &bytes) {
                    Walked::Whole(found) => prop_assert_eq!(Some(found), walked(&bytes), "{:?}", String::from_utf8_lossy(&bytes)),
                    Walked::Stopped(_) => prop_assert!(false, "nobody stopped it"),
                    Walked::Not => {}
                }
            }
        }

        #[test]
        fn texts_are_compared_as_a_whole(data in "[ab]{0,24}", len in 0usize..24, text in "[ab]{0,24}") {
            let expected = |text: &str| data.strip_prefix(text).map(str::as_bytes);
            prop_assert_eq!(behind(data.as_bytes(), text.as_bytes()), expected(&text));
            let own = &data[..len.min(data.len())];
            prop_assert_eq!(behind(data.as_bytes(), own.as_bytes()), expected(own));
        }
    }
}
