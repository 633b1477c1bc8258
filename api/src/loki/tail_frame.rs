//! The text frames of a tail (loki `pkg/loghttp/tail.go`).

use garner_query::logql::output::LogStream;
use garner_storage::engine::Dropped;

use crate::json::{push_int, push_labels, push_pairs, push_string, push_strings};

/// Bytes of lines after which a frame ends, where another stream follows.
const FRAME_BYTES: usize = 1 << 20;

/// Where frames end: positions in `streams`, the last one their number. There is one frame at least.
pub fn frame_ends(streams: &[LogStream]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut bytes = 0;
    for (at, stream) in streams.iter().enumerate() {
        if bytes >= FRAME_BYTES {
            ends.push(at);
            bytes = 0;
        }
        bytes += stream.entries.iter().map(|entry| entry.line.len() + 64).sum::<usize>();
    }
    ends.push(streams.len());
    ends
}

/// One frame.
pub fn encode_frame(streams: &[LogStream], dropped: &Dropped, flags: &[String], categorize: bool) -> String {
    let mut out = br#"{"streams":["#.to_vec();
    for (index, stream) in streams.iter().enumerate() {
        out.extend_from_slice(if index > 0 { br#",{"stream":"# } else { br#"{"stream":"# });
        push_pairs(&mut out, &stream.labels);
        out.extend_from_slice(br#","values":["#);
        for (at, entry) in stream.entries.iter().enumerate() {
            out.extend_from_slice(if at > 0 { b",[\"" } else { b"[\"" });
            push_int(&mut out, entry.time_ns);
            out.extend_from_slice(b"\",");
            push_string(&mut out, &entry.line);
            if categorize {
                out.extend_from_slice(b",{");
                for (at, (name, pairs)) in [("structuredMetadata", &entry.metadata), ("parsed", &entry.parsed)]
                    .into_iter()
                    .filter(|(_, pairs)| !pairs.is_empty())
                    .enumerate()
                {
                    if at > 0 {
                        out.push(b',');
                    }
                    push_string(&mut out, name);
                    out.push(b':');
                    push_pairs(&mut out, pairs);
                }
                out.push(b'}');
            }
            out.push(b']');
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b']');
    if !dropped.named.is_empty() {
        out.extend_from_slice(br#","dropped_entries":["#);
        for (index, (labels, time_ns)) in dropped.named.iter().enumerate() {
            out.extend_from_slice(if index > 0 { br#",{"labels":"# } else { br#"{"labels":"# });
            push_labels(&mut out, labels);
            out.extend_from_slice(br#","timestamp":""#);
            push_int(&mut out, *time_ns);
            out.extend_from_slice(b"\"}");
        }
        out.push(b']');
    }
    if !flags.is_empty() {
        out.extend_from_slice(br#","encodingFlags":"#);
        push_strings(&mut out, flags);
    }
    out.push(b'}');
    // What is written is text already; a frame must be.
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use garner_query::logql::output::LogEntry;
    use garner_storage::model::Labels;

    use super::*;

    fn stream(lines: &[&str]) -> LogStream {
        let pair = |name: &str, value: &str| vec![(name.to_string(), value.to_string())];
        LogStream {
            labels: pair("app", "x"),
            entries: lines
                .iter()
                .map(|line| LogEntry {
                    time_ns: 5,
                    line: line.to_string(),
                    metadata: pair("m", "1"),
                    parsed: Vec::new(),
                })
                .collect(),
        }
    }

    #[test]
    fn frames_have_lokis_shape() {
        let streams = [stream(&["a\"b", "c"])];
        assert_eq!(
            encode_frame(&streams, &Dropped::default(), &[], false),
            r#"{"streams":[{"stream":{"app":"x"},"values":[["5","a\"b"],["5","c"]]}]}"#
        );
        let dropped = Dropped {
            entries: 1,
            named: vec![(Labels::from_pairs([("app", "y")]), 7)],
        };
        let flags = ["categorize-labels".to_string()];
        assert_eq!(
            encode_frame(&[stream(&["a"])], &dropped, &flags, true),
            r#"{"streams":[{"stream":{"app":"x"},"values":[["5","a",{"structuredMetadata":{"m":"1"}}]]}],"dropped_entries":[{"labels":{"app":"y"},"timestamp":"7"}],"encodingFlags":["categorize-labels"]}"#
        );
    }

    #[test]
    fn large_frames_are_split_between_streams() {
        let large = "z".repeat(FRAME_BYTES);
        let streams = [stream(&[&large]), stream(&["a"]), stream(&[&large]), stream(&["b"])];
        assert_eq!(frame_ends(&streams), [1, 3, 4]);
        assert_eq!(frame_ends(&[]), [0]);
    }
}
