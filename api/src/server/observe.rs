//! Counting requests, and keeping a panic in a handler from taking its connection along.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::{HeaderName, HeaderValue};
use parking_lot::RwLock;

use super::app::SharedApp;
use crate::error::{Failure, FailureKind, TextFailure};

/// The route's pattern (`/api/v1/label/{name}/values`) and the status of the answer.
type RouteAndStatus = (Arc<str>, u16);

/// How often and how long each endpoint was asked, by status.
#[derive(Debug, Default)]
pub struct RequestCounters {
    /// By route and status. Routes and statuses are fixed by the program, so this stays small.
    by_route: RwLock<BTreeMap<RouteAndStatus, Arc<RequestCounter>>>,
    panics: AtomicU64,
}

/// One route and status.
#[derive(Debug, Default)]
pub struct RequestCounter {
    /// Requests answered.
    pub count: AtomicU64,
    /// Time until the answer's head, in microseconds.
    pub micros: AtomicU64,
}

impl RequestCounters {
    fn add(&self, route: &str, status: u16, micros: u64) {
        let known = {
            let map = self.by_route.read();
            // The key type asks for an owned route; a linear walk over a few dozen entries is cheaper than that.
            map.iter()
                .find(|((r, s), _)| *s == status && &**r == route)
                .map(|(_, counter)| counter.clone())
        };
        let counter = known.unwrap_or_else(|| self.by_route.write().entry((route.into(), status)).or_default().clone());
        counter.count.fetch_add(1, Ordering::Relaxed);
        counter.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Route, status, requests and seconds, sorted.
    pub fn snapshot(&self) -> Vec<(Arc<str>, u16, u64, f64)> {
        let map = self.by_route.read();
        let rows = map.iter().map(|((route, status), counter)| {
            let seconds = counter.micros.load(Ordering::Relaxed) as f64 / 1e6;
            (route.clone(), *status, counter.count.load(Ordering::Relaxed), seconds)
        });
        rows.collect()
    }

    /// Panics caught in handlers.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

/// What an answer cost, for browsers and Grafana (loki `pkg/lokifrontend/frontend/transport/handler.go`).
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Where an answer tells how long its query ran, the whole time follows.
fn add_response_time(response: &mut Response, elapsed: Duration) {
    let Some(wall) = response
        .headers()
        .get(SERVER_TIMING)
        .and_then(|value| value.to_str().ok())
    else {
        return;
    };
    let timing = format!("{wall}, response_time;dur={}", elapsed.as_nanos() as f64 / 1e6);
    if let Ok(timing) = HeaderValue::try_from(timing) {
        response.headers_mut().insert(SERVER_TIMING, timing);
    }
}

/// Wraps every request: counts it, and turns a panic into 500.
pub async fn observe(State(app): State<SharedApp>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            app.requests.panics.fetch_add(1, Ordering::Relaxed);
            let text = "the request failed through a defect of garner; the log has details";
            TextFailure(Failure::new(FailureKind::Internal, text)).into_response()
        }
    };
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let elapsed = started.elapsed();
    let micros = elapsed.as_micros() as u64;
    add_response_time(&mut response, elapsed);
    app.requests.add(route, response.status().as_u16(), micros);
    response
}
