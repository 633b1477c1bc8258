//! How far a tool is: a bar on a terminal, a line now and then elsewhere. Both on standard error.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use garner_storage::repair::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows the progress of a tool.
pub struct Bar {
    shown: Mutex<Shown>,
}

enum Shown {
    Terminal(ProgressBar),
    Lines {
        stage: String,
        total: u64,
        done: u64,
        last: Instant,
    },
}

impl Bar {
    /// A bar for whatever standard error is.
    pub fn new() -> Self {
        let shown = if std::io::stderr().is_terminal() {
            Shown::Terminal(ProgressBar::hidden())
        } else {
            Shown::Lines {
                stage: String::new(),
                total: 0,
                done: 0,
                last: Instant::now(),
            }
        };
        Bar {
            shown: Mutex::new(shown),
        }
    }

    /// Takes the bar away, so that results can be printed.
    pub fn clear(&self) {
        if let Shown::Terminal(bar) = &*self.shown.lock() {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Bar {
    fn stage(&self, what: &str, total: u64) {
        match &mut *self.shown.lock() {
            Shown::Terminal(bar) => {
                bar.finish_and_clear();
                *bar = match total {
                    0 => ProgressBar::new_spinner(),
                    total => ProgressBar::new(total).with_style(style(total)),
                };
                bar.set_message(what.to_string());
                bar.enable_steady_tick(Duration::from_millis(200));
            }
            Shown::Lines {
                stage,
                total: all,
                done,
                last,
            } => {
                *stage = what.to_string();
                (*all, *done, *last) = (total, 0, Instant::now());
                say(what);
            }
        }
    }

    fn advance(&self, more: u64) {
        match &mut *self.shown.lock() {
            Shown::Terminal(bar) => bar.inc(more),
            Shown::Lines {
                stage,
                total,
                done,
                last,
            } => {
                *done += more;
                if last.elapsed() >= LINE_EVERY && *total > 0 {
                    *last = Instant::now();
                    say(&format!("{stage}: {}%", *done * 100 / *total));
                }
            }
        }
    }
}

fn style(total: u64) -> ProgressStyle {
    // Few steps are counted; many are bytes.
    let template = match total < 1 << 20 {
        true => "{msg} [{wide_bar}] {pos}/{len}",
        false => "{msg} [{wide_bar}] {bytes}/{total_bytes} {eta}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn say(line: &str) {
    // Nobody to tell is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{line}");
}
