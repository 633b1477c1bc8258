//! What real writers send: Prometheus remote write v1 and Loki's push, as protobuf in a snappy block.

use anyhow::{Result, bail};

use crate::http::{Answer, Client};

/// One series with its samples (milliseconds, value).
pub struct Series<'a> {
    /// Label pairs, sorted by name as Prometheus sends them.
    pub labels: Vec<(&'a str, &'a str)>,
    /// Milliseconds and values.
    pub samples: Vec<(i64, f64)>,
}

/// One stream with its entries (nanoseconds, line).
pub struct Stream<'a> {
    /// The label set in Loki's string form.
    pub labels: &'a str,
    /// Nanoseconds and lines.
    pub entries: Vec<(i64, String)>,
}

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn bytes_field(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// `prometheus.WriteRequest` bytes, not compressed.
pub fn remote_write_body(series: &[Series<'_>]) -> Vec<u8> {
    let mut request = Vec::new();
    for one in series {
        let mut message = Vec::new();
        for (name, value) in &one.labels {
            let mut label = Vec::new();
            bytes_field(&mut label, 1, name.as_bytes());
            bytes_field(&mut label, 2, value.as_bytes());
            bytes_field(&mut message, 1, &label);
        }
        for (time_ms, value) in &one.samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend_from_slice(&value.to_le_bytes());
            varint(&mut sample, 2 << 3);
            varint(&mut sample, *time_ms as u64);
            bytes_field(&mut message, 2, &sample);
        }
        bytes_field(&mut request, 1, &message);
    }
    request
}

/// `logproto.PushRequest` bytes, not compressed.
pub fn push_body(streams: &[Stream<'_>]) -> Vec<u8> {
    let mut request = Vec::new();
    for stream in streams {
        let mut message = Vec::new();
        bytes_field(&mut message, 1, stream.labels.as_bytes());
        for (time_ns, line) in &stream.entries {
            let mut time = Vec::new();
            varint(&mut time, 1 << 3);
            varint(&mut time, time_ns.div_euclid(1_000_000_000) as u64);
            varint(&mut time, 2 << 3);
            varint(&mut time, time_ns.rem_euclid(1_000_000_000) as u64);
            let mut entry = Vec::new();
            bytes_field(&mut entry, 1, &time);
            bytes_field(&mut entry, 2, line.as_bytes());
            bytes_field(&mut message, 2, &entry);
        }
        bytes_field(&mut request, 1, &message);
    }
    request
}

/// Sends a remote write.
pub fn remote_write(client: &Client, series: &[Series<'_>]) -> Result<Answer> {
    let body = snap::raw::Encoder::new().compress_vec(&remote_write_body(series))?;
    client.post(
        "/api/v1/write",
        &[
            ("Content-Type", "application/x-protobuf"),
            ("Content-Encoding", "snappy"),
            ("X-Prometheus-Remote-Write-Version", "0.1.0"),
        ],
        &body,
    )
}

/// Sends a Loki push as Promtail does.
pub fn push(client: &Client, streams: &[Stream<'_>]) -> Result<Answer> {
    let body = snap::raw::Encoder::new().compress_vec(&push_body(streams))?;
    client.post(
        "/loki/api/v1/push",
        &[("Content-Type", "application/x-protobuf")],
        &body,
    )
}

/// Fails unless the write was answered with 204.
pub fn accepted(answer: Answer) -> Result<()> {
    if answer.status != 204 {
        bail!("write answered {}: {}", answer.status, answer.text());
    }
    Ok(())
}
