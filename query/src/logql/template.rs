//! Templates (stub).

use std::collections::BTreeMap;

use super::pipeline::Row;

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    text: String,
    fields: Vec<String>,
}

impl Template {
    /// Parses a template.
    pub fn parse(_name: &'static str, text: &str) -> Result<Self, String> {
        Ok(Template {
            text: text.to_string(),
            fields: Vec::new(),
        })
    }

    /// The labels it reads.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// The label, where the template is just `{{.label}}`.
    pub fn single_field(&self) -> Option<&str> {
        None
    }

    /// Writes the text for a row.
    pub fn execute(&self, _row: &Row, _time_ns: i64, _line: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(self.text.as_bytes());
        Ok(())
    }

    /// Writes the text for labels.
    pub fn execute_on(
        &self,
        _labels: &BTreeMap<String, String>,
        _time_ns: i64,
        _line: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        out.extend_from_slice(self.text.as_bytes());
        Ok(())
    }
}
