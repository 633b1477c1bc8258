//! Bodies as the clients make them, written by hand so that no decoder checks itself.

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn bytes_field(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

/// Labels and samples (milliseconds, value) of one series.
pub type Series<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)]);

/// `prometheus.WriteRequest`, not yet compressed.
pub fn write_request(series: &[Series<'_>]) -> Vec<u8> {
    let mut request = Vec::new();
    for (labels, samples) in series {
        let mut one = Vec::new();
        for (name, value) in *labels {
            let mut label = Vec::new();
            bytes_field(&mut label, 1, name.as_bytes());
            bytes_field(&mut label, 2, value.as_bytes());
            bytes_field(&mut one, 1, &label);
        }
        for (time_ms, value) in *samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend_from_slice(&value.to_le_bytes());
            sample.push(2 << 3);
            varint(&mut sample, *time_ms as u64);
            bytes_field(&mut one, 2, &sample);
        }
        bytes_field(&mut request, 1, &one);
    }
    request
}

/// The same in a snappy block, as Prometheus sends it.
pub fn remote_write(series: &[Series<'_>]) -> Vec<u8> {
    snappy(&write_request(series))
}

/// `io.prometheus.write.v2.Request` of one series in a snappy block.
pub fn remote_write_v2(symbols: &[&str], refs: &[u8], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut request = Vec::new();
    symbols.iter().for_each(|s| bytes_field(&mut request, 4, s.as_bytes()));
    let mut series = Vec::new();
    bytes_field(&mut series, 1, refs);
    for (time_ms, value) in samples {
        let mut sample = vec![1 << 3 | 1];
        sample.extend_from_slice(&value.to_le_bytes());
        sample.push(2 << 3);
        varint(&mut sample, *time_ms as u64);
        bytes_field(&mut series, 2, &sample);
    }
    bytes_field(&mut request, 5, &series);
    snappy(&request)
}

/// `prometheus.ReadRequest` of one query in a snappy block; matchers are type, name and value.
pub fn read_request(times_ms: (i64, i64), matchers: &[(u8, &str, &str)], accepted: &[u8]) -> Vec<u8> {
    let mut query = vec![1 << 3];
    varint(&mut query, times_ms.0 as u64);
    query.push(2 << 3);
    varint(&mut query, times_ms.1 as u64);
    for (kind, name, value) in matchers {
        let mut matcher = vec![1 << 3, *kind];
        bytes_field(&mut matcher, 2, name.as_bytes());
        bytes_field(&mut matcher, 3, value.as_bytes());
        bytes_field(&mut query, 3, &matcher);
    }
    let mut request = Vec::new();
    bytes_field(&mut request, 1, &query);
    bytes_field(&mut request, 2, accepted);
    snappy(&request)
}

/// A string, bytes or message field on its own.
pub fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes_field(&mut out, number, bytes);
    out
}

/// A label message of Prometheus.
pub fn label(name: &str, value: &str) -> Vec<u8> {
    field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat())
}

/// Time in nanoseconds, line and structured metadata.
pub type Entry<'a> = (i64, &'a str, &'a [(&'a str, &'a str)]);

/// `logproto.PushRequest` of one stream in a snappy block, as Promtail sends it.
pub fn promtail_push(labels: &str, entries: &[Entry<'_>]) -> Vec<u8> {
    let mut stream = Vec::new();
    bytes_field(&mut stream, 1, labels.as_bytes());
    for (time_ns, line, metadata) in entries {
        let mut time = vec![1 << 3];
        varint(&mut time, (time_ns / 1_000_000_000) as u64);
        time.push(2 << 3);
        varint(&mut time, (time_ns % 1_000_000_000) as u64);
        let mut entry = Vec::new();
        bytes_field(&mut entry, 1, &time);
        bytes_field(&mut entry, 2, line.as_bytes());
        for (name, value) in *metadata {
            let mut pair = Vec::new();
            bytes_field(&mut pair, 1, name.as_bytes());
            bytes_field(&mut pair, 2, value.as_bytes());
            bytes_field(&mut entry, 3, &pair);
        }
        bytes_field(&mut stream, 2, &entry);
    }
    let mut request = Vec::new();
    bytes_field(&mut request, 1, &stream);
    snappy(&request)
}

/// A gzip stream.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
