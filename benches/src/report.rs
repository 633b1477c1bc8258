//! The figures of a run as Markdown tables: a row a figure, a column a server.

use std::fmt::Write;

use anyhow::Result;

use crate::Size;
use crate::server::Program;

/// One table.
struct Table {
    title: String,
    servers: Vec<String>,
    rows: Vec<(String, Vec<Option<String>>)>,
}

/// All tables of a run.
pub struct Report {
    size: Size,
    tables: Vec<Table>,
}

impl Report {
    /// An empty report.
    pub fn new(size: Size) -> Report {
        Report {
            size,
            tables: Vec::new(),
        }
    }

    /// Starts a table.
    pub fn table(&mut self, title: &str) {
        self.tables.push(Table {
            title: title.to_string(),
            servers: Vec::new(),
            rows: Vec::new(),
        });
    }

    /// Sets a figure of the newest table.
    pub fn set(&mut self, server: &str, row: &str, value: String) {
        println!("{server}: {row}: {value}");
        let Some(table) = self.tables.last_mut() else { return };
        let column = table.servers.iter().position(|s| s == server).unwrap_or_else(|| {
            table.servers.push(server.to_string());
            table.servers.len() - 1
        });
        let index = table.rows.iter().position(|(name, _)| name == row).unwrap_or_else(|| {
            table.rows.push((row.to_string(), Vec::new()));
            table.rows.len() - 1
        });
        let cells = &mut table.rows[index].1;
        cells.resize(cells.len().max(column + 1), None);
        cells[column] = Some(value);
    }

    /// A peer that fails is named in the table and the run goes on; garner's own failure ends it.
    pub fn settle(&mut self, program: &Program, done: Result<()>) -> Result<()> {
        match done {
            Err(error) if !matches!(program, Program::Garner) => {
                self.set(
                    program.name(),
                    "ended early by",
                    format!("{error:#}").replace('\n', " "),
                );
                Ok(())
            }
            done => done,
        }
    }

    /// The tables as Markdown.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{} targets x {} scrapes of {} series, {} MB of log lines\n",
            self.size.targets,
            self.size.scrapes,
            crate::fleet::SERIES_PER_TARGET,
            self.size.log_bytes / 1_000_000
        );
        for table in &self.tables {
            let _ = writeln!(out, "### {}\n\n| | {} |", table.title, table.servers.join(" | "));
            let _ = writeln!(out, "|---|{}", "---|".repeat(table.servers.len()));
            for (name, cells) in &table.rows {
                let cells: Vec<&str> = (0..table.servers.len())
                    .map(|i| cells.get(i).and_then(|c| c.as_deref()).unwrap_or("-"))
                    .collect();
                let _ = writeln!(out, "| {} | {} |", name.replace('|', "\\|"), cells.join(" | "));
            }
            out.push('\n');
        }
        out
    }
}
