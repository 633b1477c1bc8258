//! The harness of the compatibility tests: starts garner and its peers as processes on loopback and speaks HTTP to them.
//!
//! [`process`] runs a program and ends it by its pid, [`garner`] and [`peers`] know how each program is started,
//! [`http`] asks, [`write`] encodes what real clients send, [`tail`] follows logs by websocket, [`go`] writes query strings as
//! clients in Go do.

pub mod garner;
pub mod go;
pub mod http;
pub mod peers;
pub mod process;
pub mod tail;
pub mod write;
