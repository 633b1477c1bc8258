//! Tests of the catalog over an in-memory store.
