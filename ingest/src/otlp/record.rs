//! What both body formats decode to: a walk over resources, scopes and log records that borrows from the body.

use std::borrow::Cow;

use super::value::{AnyValue, Attribute};
use crate::error::IngestError;

/// The instrumentation scope of records.
#[derive(Debug, Default)]
pub(crate) struct Scope<'a> {
    pub name: Cow<'a, [u8]>,
    pub version: Cow<'a, [u8]>,
    pub attributes: Vec<Attribute<'a>>,
    pub dropped_attributes: u32,
}

/// One log record as the client sent it.
#[derive(Debug, Default)]
pub(crate) struct Record<'a> {
    /// Nanoseconds; 0 where unknown.
    pub time_ns: u64,
    /// When it was collected; 0 where unknown.
    pub observed_ns: u64,
    pub severity_number: i32,
    pub severity_text: Cow<'a, [u8]>,
    pub body: AnyValue<'a>,
    pub attributes: Vec<Attribute<'a>>,
    pub dropped_attributes: u32,
    pub flags: u32,
    /// All zeros where there is none.
    pub trace_id: [u8; 16],
    /// All zeros where there is none.
    pub span_id: [u8; 8],
    pub event_name: Cow<'a, [u8]>,
}

/// Takes the records of a request in order. An error ends the walk and refuses the request.
pub(crate) trait RecordVisitor<'a> {
    /// A resource starts; scopes and their records follow.
    fn resource(&mut self, attributes: Vec<Attribute<'a>>) -> Result<(), IngestError>;

    /// A scope of the resource starts.
    fn scope(&mut self, scope: Scope<'a>) -> Result<(), IngestError>;

    /// A record of the scope.
    fn record(&mut self, record: Record<'a>) -> Result<(), IngestError>;
}
