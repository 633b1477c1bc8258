//! Section 21: what senders told of metrics in the time of the segment's rows.

use crate::model::{MetadataMap, MetadataRef, MetricType};
use crate::segment::bytes::{Cursor, MAX_RAW_BYTES, Parsed, pack, put_slice, put_varint, unpack};

pub(super) fn encode(map: &MetadataMap) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, map.len() as u64);
    for (metric, known) in map.iter() {
        put_slice(&mut out, metric.as_bytes());
        put_varint(&mut out, known.len() as u64);
        for metadata in known {
            out.push(metadata.kind as u8);
            put_slice(&mut out, metadata.help.as_bytes());
            put_slice(&mut out, metadata.unit.as_bytes());
        }
    }
    pack(&out, 3)
}

pub(super) fn decode(bytes: &[u8]) -> Parsed<MetadataMap> {
    const WHAT: &str = "metric metadata";
    let raw = unpack(bytes, MAX_RAW_BYTES, WHAT)?;
    let mut cursor = Cursor::new(&raw, WHAT);
    let broken = cursor.broken();
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| broken);
    let mut map = MetadataMap::default();
    for _ in 0..cursor.count(2)? {
        let metric = text(cursor.slice()?)?;
        for _ in 0..cursor.count(3)? {
            let metadata = MetadataRef {
                kind: MetricType::from_code(cursor.u8()?).ok_or(broken)?,
                help: text(cursor.slice()?)?,
                unit: text(cursor.slice()?)?,
            };
            map.add(metric, metadata);
        }
    }
    cursor.end()?;
    Ok(map)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn metadata_comes_back_and_damage_is_refused_without_panic(
            entries in prop::collection::vec(("[a-c]", 0..8u8, "[a-b é]{0,4}"), 1..6), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut map = MetadataMap::default();
            for (metric, kind, help) in entries {
                let kind = MetricType::from_code(kind).unwrap_or_default();
                map.add(&metric, MetadataRef { kind, unit: &help, help: &help });
            }
            let bytes = encode(&map);
            let back = decode(&bytes);
            prop_assert_eq!(back.as_ref(), Ok(&map));
            let mut raw = unpack(&bytes, MAX_RAW_BYTES, "test").expect("was written");
            let at = at.index(raw.len());
            raw[at] = byte;
            let _ = decode(&pack(&raw, 1));
        }
    }
}
