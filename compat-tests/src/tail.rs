//! A client of Loki's live tail over a websocket.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::{Error, Message, WebSocket};

/// How often a reader that waits looks at the clock.
const POLL: Duration = Duration::from_millis(50);

/// One open tail.
pub struct Tail {
    socket: WebSocket<TcpStream>,
    /// Pings that the server has sent.
    pub pings: u64,
}

/// One line as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailedLine {
    /// The labels of its stream.
    pub labels: BTreeMap<String, String>,
    /// Its time in nanoseconds.
    pub time_ns: i64,
    /// Its text.
    pub line: String,
}

/// What a tail has to say.
#[derive(Debug)]
pub enum Event {
    /// A text frame.
    Frame(Value),
    /// Nothing came in time.
    Quiet,
    /// The server ended the connection, with this code and text.
    Closed(u16, String),
}

impl Tail {
    /// Opens `path` with its query string on 127.0.0.1:`port`.
    pub fn open(port: u16, path: &str, headers: &[(&str, &str)]) -> Result<Tail> {
        let mut request = format!("ws://127.0.0.1:{port}{path}").into_client_request()?;
        for (name, value) in headers {
            let name: HeaderName = name.parse()?;
            request.headers_mut().insert(name, HeaderValue::from_str(value)?);
        }
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let (socket, _) = tungstenite::client(request, stream).with_context(|| format!("no tail at {path}"))?;
        socket.get_ref().set_read_timeout(Some(POLL))?;
        Ok(Tail { socket, pings: 0 })
    }

    /// The next frame, waiting at most `wait`.
    pub fn next(&mut self, wait: Duration) -> Result<Event> {
        let end = Instant::now() + wait;
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let frame = serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))?;
                    return Ok(Event::Frame(frame));
                }
                // The answer to a ping is sent by the next read.
                Ok(Message::Ping(_)) => self.pings += 1,
                Ok(Message::Close(Some(frame))) => {
                    return Ok(Event::Closed(frame.code.into(), frame.reason.to_string()));
                }
                Ok(Message::Close(None)) => return Ok(Event::Closed(1005, String::new())),
                Ok(other) => bail!("a tail sends no {other:?}"),
                Err(Error::Io(error)) if is_timeout(&error) => {}
                Err(error) => bail!("the tail broke off: {error}"),
            }
            if Instant::now() >= end {
                return Ok(Event::Quiet);
            }
        }
    }

    /// Says goodbye and waits until the server has, too.
    pub fn close(mut self) -> Result<()> {
        self.socket.close(None)?;
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            match self.socket.read() {
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(()),
                // Servers may hang up instead of reading on.
                Err(Error::Io(error)) if !is_timeout(&error) => return Ok(()),
                Err(Error::Protocol(_)) => return Ok(()),
                _ => {}
            }
        }
        bail!("the server does not close a tail that was closed")
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The lines of a frame in their order; fails on a frame that has another form.
pub fn lines(frame: &Value) -> Result<Vec<TailedLine>> {
    let mut out = Vec::new();
    for stream in frame["streams"]
        .as_array()
        .with_context(|| format!("no streams: {frame}"))?
    {
        let labels: BTreeMap<String, String> = serde_json::from_value(stream["stream"].clone())?;
        for value in stream["values"]
            .as_array()
            .with_context(|| format!("no values: {frame}"))?
        {
            out.push(TailedLine {
                labels: labels.clone(),
                time_ns: value[0].as_str().context("a time is text")?.parse()?,
                line: value[1].as_str().context("a line is text")?.to_string(),
            });
        }
    }
    Ok(out)
}
