//! The harness of the compatibility tests: starts garner and its peers as processes on loopback and speaks HTTP to them.
//!
//! [`process`] runs a program and ends it by its pid, [`garner`] and [`peers`] know how each program is started,
//! [`http`] asks, [`write`] encodes what real clients send.

pub mod garner;
pub mod http;
pub mod peers;
pub mod process;
pub mod write;
