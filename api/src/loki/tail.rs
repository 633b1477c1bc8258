//! `/loki/api/v1/tail` and `/api/prom/tail`: lines as they arrive, over a websocket (loki `pkg/querier/tail`).
//!
//! The newest lines there are come first, then each append as the store hands it out (see [`LogFollower`]). Following
//! begins before the first lines are read, so that nothing falls in between; what is sent is remembered for a while, so
//! that a line which both sides know, or which a client pushed twice, is sent once.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::{IntoResponse, Response};
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use garner_query::logql::output::{LogEntry, LogStream, LogqlValue};
use garner_query::logql::parser::parse;
use garner_query::logql::run::LogqlOptions;
use garner_query::logql::tail::TailQuery;
use garner_storage::engine::{Dropped, LogFollower};
use garner_storage::model::TenantId;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::options::{Flags, check_query_limits};
use super::params::{bounds, limit};
use super::tail_frame::{encode_frame, frame_ends};
use crate::error::{Failure, TextFailure};
use crate::params::parse_int;
use crate::server::{ReadAsk, SharedApp, TailSlot, run_query};

/// How often a client is asked whether it is still there.
const PING_PERIOD: Duration = Duration::from_secs(1);
/// How often delayed lines and dropped entries are looked for.
const TICK: Duration = Duration::from_millis(200);
/// How long a client may take to accept a message.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest `delay_for` in seconds.
const MAX_DELAY_SECONDS: i64 = 5;
/// Lines sent that are remembered, by hash.
const MAX_REMEMBERED: usize = 32 << 10;
/// Longest reason of a close frame in bytes (RFC 6455, section 5.5: a control frame holds 125).
const MAX_CLOSE_REASON_BYTES: usize = 123;

/// What a request asks for.
struct TailAsk {
    tenant: TenantId,
    text: String,
    start_ns: i64,
    end_ns: i64,
    limit: usize,
    delay: Duration,
    flags: Flags,
}

/// Upgrades one connection, or says why not.
pub async fn tail(
    State(app): State<SharedApp>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    ask: ReadAsk,
) -> Result<Response, TextFailure> {
    let ask = tail_ask(&app, &ask)?;
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Ok(rejection.into_response()),
    };
    Ok(upgrade.on_upgrade(move |socket| serve(app, ask, socket)))
}

fn tail_ask(app: &SharedApp, ask: &ReadAsk) -> Result<TailAsk, Failure> {
    let text = query_text(ask.params.get("query"), ask.params.get("regexp"));
    parse(&text).map_err(|error| Failure::bad_data(error.to_string()))?;
    let limit = limit(&ask.params)? as usize;
    let (start_ns, end_ns) = bounds(&ask.params, app.clock.now())?;
    let delay = match ask.params.get("delay_for") {
        "" => 0,
        text => parse_int("Atoi", text).map_err(Failure::bad_data)?,
    };
    if delay > MAX_DELAY_SECONDS {
        let text = format!("delay_for can't be greater than {MAX_DELAY_SECONDS}");
        return Err(Failure::bad_data(text));
    }
    check_query_limits(app, &text, limit, 0)?;
    Ok(TailAsk {
        tenant: ask.tenants.one()?.clone(),
        text,
        start_ns,
        end_ns,
        limit,
        delay: Duration::from_secs(u64::try_from(delay).unwrap_or(0)),
        flags: Flags::of(&ask.headers),
    })
}

/// The query with the older `regexp` parameter as a line filter.
pub fn query_text(query: &str, regexp: &str) -> String {
    match regexp {
        "" => query.to_string(),
        regexp => format!("{query} |~ {}", garner_query::logql::units::quote(regexp)),
    }
}

async fn serve(app: SharedApp, ask: TailAsk, socket: WebSocket) {
    let (sink, mut incoming) = socket.split();
    let mut sink = Sink(sink);
    let mut tailing = match Tailing::begin(&app, ask).await {
        Ok(tailing) => tailing,
        Err(failure) => return sink.close(failure.message()).await,
    };
    let max_duration = app.settings.logs.tail_max_duration;
    let end = Instant::now() + max_duration;
    let mut ping = interval(PING_PERIOD);
    // The first tick of an interval is at once; Loki's first ping comes after a period.
    ping.reset();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let sent = tokio::select! {
            message = incoming.next() => match message {
                None | Some(Err(_)) | Some(Ok(Message::Close(_))) => return,
                // Pongs and whatever else a client says mean that it is there.
                Some(Ok(_)) => Ok(()),
            },
            batch = tailing.follower.next() => {
                tailing.take(&batch);
                tailing.send_due(&mut sink).await
            }
            _ = tick.tick() => tailing.send_due(&mut sink).await,
            _ = ping.tick() => match app.is_stopping() {
                true => return sink.close("the server is stopping").await,
                false => sink.send(Message::Ping(Default::default())).await,
            },
            () = sleep_until(end), if !max_duration.is_zero() => {
                return sink.close("reached tail max duration limit").await;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The writing side of a connection.
struct Sink(SplitSink<WebSocket, Message>);

/// The client is gone, or takes nothing.
struct Gone;

impl Sink {
    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        match timeout(WRITE_TIMEOUT, self.0.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }

    /// Ends the connection as Loki does, with 1011 and a text.
    async fn close(mut self, reason: &str) {
        let mut end = reason.len().min(MAX_CLOSE_REASON_BYTES);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let frame = CloseFrame {
            code: close_code::ERROR,
            reason: reason[..end].into(),
        };
        // Whether it still arrives makes no difference.
        let _ = self.send(Message::Close(Some(frame))).await;
    }
}

/// One connection's lines on their way.
struct Tailing {
    query: TailQuery,
    follower: LogFollower,
    flags: Flags,
    delay: Duration,
    /// Lines with the time from which they may be sent, oldest arrival first.
    waiting: VecDeque<(Instant, Vec<LogStream>)>,
    sent: Sent,
    _slot: TailSlot,
}

impl Tailing {
    /// Follows, then reads the lines there are.
    async fn begin(app: &SharedApp, ask: TailAsk) -> Result<Self, Failure> {
        let slot = app
            .tails
            .take(&ask.tenant, app.settings.logs.max_concurrent_tail_requests)
            .map_err(Failure::bad_data)?;
        let query = TailQuery::compile(&ask.text, ask.flags.categorize)?;
        let follower = app.storage.follow_logs(&ask.tenant, query.matchers().to_vec())?;
        let mut tailing = Tailing {
            query,
            follower,
            delay: ask.delay,
            waiting: VecDeque::new(),
            sent: Sent::default(),
            _slot: slot,
            flags: Flags {
                given: ask.flags.given.clone(),
                categorize: ask.flags.categorize,
            },
        };
        let history = history(app, ask).await?;
        tailing.enqueue(history, Duration::ZERO);
        Ok(tailing)
    }

    /// Runs the query on appended entries.
    fn take(&mut self, batch: &garner_storage::scan::LogBatch) {
        let streams = self.query.run(batch);
        self.enqueue(streams, self.delay);
    }

    fn enqueue(&mut self, mut streams: Vec<LogStream>, delay: Duration) {
        for stream in &mut streams {
            let labels = &stream.labels;
            stream.entries.retain(|entry| self.sent.is_new(labels, entry));
        }
        streams.retain(|stream| !stream.entries.is_empty());
        if !streams.is_empty() {
            self.waiting.push_back((Instant::now() + delay, streams));
        }
    }

    /// Sends what has waited long enough; delayed lines in order of time.
    async fn send_due(&mut self, sink: &mut Sink) -> Result<(), Gone> {
        let now = Instant::now();
        let mut due: Vec<LogStream> = Vec::new();
        while let Some((_, streams)) = self.waiting.pop_front_if(|(at, _)| *at <= now) {
            due.extend(streams);
        }
        if !self.delay.is_zero() {
            due = in_order_of_time(due);
        }
        let dropped = self.follower.take_dropped();
        if due.is_empty() && dropped.named.is_empty() {
            return Ok(());
        }
        let mut start = 0;
        for end in frame_ends(&due) {
            let last = end == due.len();
            let named = if last { &dropped } else { &Dropped::default() };
            let text = encode_frame(&due[start..end], named, &self.flags.given, self.flags.categorize);
            sink.send(Message::Text(text.into())).await?;
            start = end;
        }
        Ok(())
    }
}

/// Merges streams into runs of one stream each whose lines ascend in time over all.
fn in_order_of_time(streams: Vec<LogStream>) -> Vec<LogStream> {
    let mut entries: Vec<(i64, usize, LogEntry)> = Vec::new();
    let mut labels = Vec::with_capacity(streams.len());
    for (at, stream) in streams.into_iter().enumerate() {
        entries.extend(stream.entries.into_iter().map(|entry| (entry.time_ns, at, entry)));
        labels.push(stream.labels);
    }
    entries.sort_by_key(|(time, ..)| *time);
    let mut runs: Vec<(usize, LogStream)> = Vec::new();
    for (_, at, entry) in entries {
        match runs.last_mut() {
            Some((last, run)) if *last == at => run.entries.push(entry),
            _ => runs.push((
                at,
                LogStream {
                    labels: labels[at].clone(),
                    entries: vec![entry],
                },
            )),
        }
    }
    runs.into_iter().map(|(_, run)| run).collect()
}

/// The newest lines before now, oldest first.
async fn history(app: &SharedApp, ask: TailAsk) -> Result<Vec<LogStream>, Failure> {
    let options = LogqlOptions {
        limit: ask.limit,
        categorize_labels: ask.flags.categorize,
        ..LogqlOptions::default()
    };
    // What comes with this very nanosecond may be there already.
    let end_ns = ask.end_ns.saturating_add(1);
    if end_ns <= ask.start_ns {
        return Ok(Vec::new());
    }
    let engine = app.engine.clone();
    let work = async move {
        let (tenant, text) = (&ask.tenant, &ask.text);
        engine.logql_range(tenant, text, ask.start_ns, end_ns, 1, options).await
    };
    match run_query(app, work).await?.value {
        LogqlValue::Streams(streams) => Ok(in_order_of_time(streams)),
        LogqlValue::Metric(_) => Ok(Vec::new()),
    }
}

/// Which lines were sent lately.
#[derive(Default)]
struct Sent {
    hasher: RandomState,
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Sent {
    /// Remembers a line; false where it is known already.
    fn is_new(&mut self, labels: &[(String, String)], entry: &LogEntry) -> bool {
        let hash = self
            .hasher
            .hash_one((labels, entry.time_ns, &entry.line, &entry.metadata, &entry.parsed));
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > MAX_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}
