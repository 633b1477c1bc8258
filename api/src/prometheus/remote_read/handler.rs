//! From a request to its answer.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use garner_ingest::prometheus::{ReadAnswer, ReadQuery, ReadRequest};
use garner_query::goregex;
use garner_query::vector::labels::compare;
use garner_storage::model::{LabelMatcher, Labels, MatchOp, NANOS_PER_MILLI, TimeRange};
use http::{HeaderValue, header};

use super::encode::{Rows, push_bytes, push_frame};
use crate::error::{Failure, TextFailure};
use crate::server::{Encode, SampleQuery, SharedApp, answer, read_body};
use crate::tenant::tenant_of;

/// Most samples of an answer that is not streamed, as in Prometheus (`--storage.remote.read-sample-limit`).
pub const MAX_SAMPLES: usize = 50_000_000;
/// Bytes after which a frame is closed, as in Prometheus (`--storage.remote.read-max-bytes-in-frame`).
const MAX_FRAME_BYTES: usize = 1 << 20;

/// Answers one request.
pub async fn read(State(app): State<SharedApp>, request: Request) -> Result<Response, TextFailure> {
    let (parts, body) = request.into_parts();
    let tenant = tenant_of(&parts.headers, app.settings.server.tenancy_required)?;
    let (body, _held) = read_body(&parts.headers, body, &app.settings.server, &app.accountant).await?;
    let request = ReadRequest::decode(&body)?;
    let selections = request.queries.iter().map(selection).collect::<Result<Vec<_>, _>>()?;
    let shared = app.clone();
    let response = match request.answer {
        ReadAnswer::Samples => {
            let work = async move {
                let read = async |_| samples(SampleQuery::new(&shared, &tenant)?, selections).await;
                shared.engine.in_turn(&tenant, None, read).await
            };
            answer(&app, work, |block| block, snappy_response).await?
        }
        ReadAnswer::XorChunks => {
            let work = async move {
                let read = async |_| all_chunks(SampleQuery::new(&shared, &tenant)?, selections).await;
                shared.engine.in_turn(&tenant, None, read).await
            };
            answer(&app, work, |frames| frames, chunked_response).await?
        }
    };
    Ok(response)
}

type Selection = (Vec<LabelMatcher>, TimeRange);

fn selection(query: &ReadQuery) -> Result<Selection, Failure> {
    let matchers = query.matchers.iter().map(|(name, op, value)| {
        let refused = |reason: String| Failure::bad_data(format!("matcher {name}{}{value:?}: {reason}", op.as_str()));
        match op {
            MatchOp::Equal | MatchOp::NotEqual => LabelMatcher::new(name, *op, value),
            MatchOp::Regex | MatchOp::NotRegex => {
                let translated = goregex::translate(value).map_err(|error| refused(error.to_string()))?;
                LabelMatcher::with_pattern(name, *op, value, &translated.for_text())
            }
        }
        .map_err(|error| refused(error.reason))
    });
    let ns = |ms: i64| ms.saturating_mul(NANOS_PER_MILLI);
    let range = TimeRange::closed(ns(query.start_ms), ns(query.end_ms));
    Ok((matchers.collect::<Result<_, _>>()?, range))
}

/// A whole `ReadResponse` in a snappy block, and what it is accounted with.
struct Block {
    bytes: Vec<u8>,
    _query: SampleQuery,
}

impl Encode for Block {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        out.append(&mut self.bytes);
        false
    }
}

async fn samples(query: SampleQuery, selections: Vec<Selection>) -> Result<Block, Failure> {
    let mut response = Vec::new();
    let mut rows = Rows::default();
    for (matchers, range) in selections {
        let (mut result, mut count) = (Vec::new(), 0);
        let mut batches = query.scan(matchers, range).await?;
        while let Some(batch) = batches.try_next().await? {
            count += batch.timestamps.len();
            if count > MAX_SAMPLES {
                return Err(Failure::bad_data(format!("exceeded sample limit ({MAX_SAMPLES})")));
            }
            let before = result.len();
            for (index, labels) in batch.series.iter().enumerate() {
                let (times, values) = batch.rows(index);
                if !times.is_empty() {
                    rows.fill(times, values, batch.histograms(index));
                    push_bytes(&mut result, 1, &rows.time_series(labels));
                }
            }
            // The message stands in memory three times before it is sent: here, in the response, and as a block.
            query.memory().try_grow(3 * (result.len() - before) as u64)?;
        }
        push_bytes(&mut response, 1, &result);
    }
    let bytes = snap::raw::Encoder::new()
        .compress_vec(&response)
        .map_err(|_| Failure::bad_data("the answer is larger than a snappy block can be; ask for less at a time"))?;
    Ok(Block { bytes, _query: query })
}

/// Series in chunks, sorted as Prometheus sorts them, which readers that merge several streams rely on.
struct Frames {
    /// Index of the query, labels, and chunks.
    series: std::vec::IntoIter<(usize, Labels, Vec<Vec<u8>>)>,
    _query: SampleQuery,
}

impl Encode for Frames {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let Some((index, labels, chunks)) = self.series.next() else {
            return false;
        };
        let mut rest = chunks.as_slice();
        while !rest.is_empty() {
            let (mut count, mut bytes) = (0, labels.size_bytes());
            while count < rest.len() && (count == 0 || bytes < MAX_FRAME_BYTES) {
                bytes += rest[count].len();
                count += 1;
            }
            let (frame, after) = rest.split_at(count);
            push_frame(out, index, &labels, frame);
            rest = after;
        }
        true
    }
}

async fn all_chunks(query: SampleQuery, selections: Vec<Selection>) -> Result<Frames, Failure> {
    let mut all = Vec::new();
    for (index, (matchers, range)) in selections.into_iter().enumerate() {
        let first = all.len();
        let mut batches = query.scan(matchers, range).await?;
        let mut rows = Rows::default();
        while let Some(batch) = batches.try_next().await? {
            for (at, labels) in batch.series.iter().enumerate() {
                let (times, values) = batch.rows(at);
                rows.fill(times, values, batch.histograms(at));
                let chunks = rows.chunks();
                let bytes: usize = chunks.iter().map(|c| c.len() + size_of::<Vec<u8>>()).sum();
                query.memory().try_grow((bytes + labels.size_bytes()) as u64)?;
                all.push((index, labels.clone(), chunks));
            }
        }
        all[first..].sort_by(|(_, a, _), (_, b, _)| compare(a.as_bytes(), b.as_bytes()));
    }
    Ok(Frames {
        series: all.into_iter(),
        _query: query,
    })
}

fn snappy_response(body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    response
}

fn chunked_response(body: Body) -> Response {
    let content_type = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
