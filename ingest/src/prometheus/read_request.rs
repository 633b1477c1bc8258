//! `prometheus.ReadRequest` (prometheus `prompb/remote.proto`): what remote read asks for.
//!
//! ```text
//! ReadRequest  { queries = 1, accepted_response_types = 2 }
//! Query        { start_timestamp_ms = 1, end_timestamp_ms = 2, matchers = 3, hints = 4 (passed over) }
//! LabelMatcher { type = 1, name = 2, value = 3 }
//! ```

use garner_storage::model::MatchOp;

use crate::body;
use crate::error::IngestError;
use crate::wire::{Reader, Value, WireError};

/// Largest request after decompression, as in Prometheus (`storage/remote/codec.go`, `decodeReadLimit`).
const MAX_REQUEST_BYTES: usize = 32 << 20;
/// Most queries of one request; Prometheus sends one.
const MAX_QUERIES: usize = 1_000;

/// How samples are to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAnswer {
    /// One `ReadResponse` in a snappy block.
    Samples,
    /// A stream of `ChunkedReadResponse`.
    XorChunks,
}

/// A decoded request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// Answered in this order.
    pub queries: Vec<ReadQuery>,
    /// The first form that the client takes and garner has.
    pub answer: ReadAnswer,
}

/// One selection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadQuery {
    /// First millisecond.
    pub start_ms: i64,
    /// Last millisecond.
    pub end_ms: i64,
    /// Name, operator and value; regular expressions are in Go's dialect.
    pub matchers: Vec<(String, MatchOp, String)>,
}

impl ReadRequest {
    /// Reads a snappy block.
    pub fn decode(block: &[u8]) -> Result<Self, IngestError> {
        let body = body::snappy(block, MAX_REQUEST_BYTES)?;
        let (mut queries, mut accepted) = (Vec::new(), Vec::new());
        let mut fields = Reader::new(&body);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, value) => {
                    if queries.len() >= MAX_QUERIES {
                        return Err(IngestError::bad_request(format!(
                            "the request has more than {MAX_QUERIES} queries; send fewer at a time"
                        )));
                    }
                    queries.push(query(value.bytes("Queries")?)?);
                }
                (2, Value::Varint(one)) => accepted.push(one),
                (2, packed) => {
                    let mut types = Reader::new(packed.bytes("AcceptedResponseTypes")?);
                    while let Some(one) = types.next_varint()? {
                        accepted.push(one);
                    }
                }
                _ => {}
            }
        }
        let known = accepted.iter().find_map(|kind| match kind {
            0 => Some(ReadAnswer::Samples),
            1 => Some(ReadAnswer::XorChunks),
            _ => None,
        });
        let answer = match known {
            Some(answer) => answer,
            None if accepted.is_empty() => ReadAnswer::Samples,
            None => {
                return Err(IngestError::bad_request(
                    "server does not support any of the requested response types; supported: SAMPLES, STREAMED_XOR_CHUNKS",
                ));
            }
        };
        Ok(ReadRequest { queries, answer })
    }
}

fn query(message: &[u8]) -> Result<ReadQuery, IngestError> {
    let mut query = ReadQuery::default();
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => query.start_ms = value.int("StartTimestampMs")?,
            2 => query.end_ms = value.int("EndTimestampMs")?,
            3 => query.matchers.push(matcher(value.bytes("Matchers")?)?),
            _ => {}
        }
    }
    Ok(query)
}

fn matcher(message: &[u8]) -> Result<(String, MatchOp, String), IngestError> {
    let (mut op, mut name, mut text) = (MatchOp::Equal, String::new(), String::new());
    let mut fields = Reader::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => {
                op = match value.int("Type")? {
                    0 => MatchOp::Equal,
                    1 => MatchOp::NotEqual,
                    2 => MatchOp::Regex,
                    3 => MatchOp::NotRegex,
                    _ => return Err(IngestError::bad_request("invalid matcher type")),
                }
            }
            2 => name = utf8(value, "Name")?,
            3 => text = utf8(value, "Value")?,
            _ => {}
        }
    }
    Ok((name, op, text))
}

fn utf8(value: Value<'_>, field: &'static str) -> Result<String, IngestError> {
    let bytes = value
        .bytes(field)
        .map_err(|error: WireError| IngestError::from(error))?;
    String::from_utf8(bytes.to_vec())
        .map_err(|_| IngestError::bad_request(format!("a matcher's {} is not UTF-8", field.to_lowercase())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::wire::encode;

    fn request(types: &[i64], op: i64) -> Vec<u8> {
        let mut matcher = Vec::new();
        encode::int(&mut matcher, 1, op);
        encode::bytes(&mut matcher, 2, b"job");
        encode::bytes(&mut matcher, 3, b"a.*");
        let mut query = Vec::new();
        encode::int(&mut query, 1, -5);
        encode::int(&mut query, 2, 7);
        encode::bytes(&mut query, 3, &matcher);
        encode::bytes(&mut query, 4, b"\x08\x01");
        let mut request = Vec::new();
        encode::bytes(&mut request, 1, &query);
        types.iter().for_each(|t| encode::int(&mut request, 2, *t));
        snap::raw::Encoder::new().compress_vec(&request).unwrap()
    }

    #[test]
    fn the_first_known_answer_is_chosen() {
        for (types, expected) in [
            (&[][..], Some(ReadAnswer::Samples)),
            (&[1, 0], Some(ReadAnswer::XorChunks)),
            (&[9, 0, 1], Some(ReadAnswer::Samples)),
            (&[9], None),
        ] {
            let decoded = ReadRequest::decode(&request(types, 2));
            assert_eq!(decoded.ok().map(|r| r.answer), expected, "{types:?}");
        }
    }

    #[test]
    fn queries_are_read_whole_or_not_at_all() {
        let decoded = ReadRequest::decode(&request(&[], 2)).unwrap();
        let expected = ReadQuery {
            start_ms: -5,
            end_ms: 7,
            matchers: vec![("job".into(), MatchOp::Regex, "a.*".into())],
        };
        assert_eq!(decoded.queries, [expected]);
        assert!(ReadRequest::decode(&request(&[], 4)).is_err());
        assert!(ReadRequest::decode(b"").is_err());
        assert!(ReadRequest::decode(&snap::raw::Encoder::new().compress_vec(b"\x0a\x05").unwrap()).is_err());
    }
}
