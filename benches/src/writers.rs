//! Remote writes of the fleet: one scrape of one target a request, over a few connections.

use anyhow::Result;
use garner_compat_tests::http::Client;
use garner_compat_tests::write::{Series, accepted, remote_write};

use crate::Size;
use crate::fleet::Target;

const CONNECTIONS: usize = 4;

/// The fleet, dealt out to connections, at some scrape.
pub struct Writers {
    connections: Vec<Vec<Target>>,
    scrape: usize,
}

impl Writers {
    /// The fleet of `size` before its first scrape.
    pub fn new(size: Size) -> Writers {
        let dealt = |connection| {
            (connection..size.targets)
                .step_by(CONNECTIONS)
                .map(Target::new)
                .collect()
        };
        Writers {
            connections: (0..CONNECTIONS).map(dealt).collect(),
            scrape: 0,
        }
    }

    /// Sends the next `scrapes` scrapes as fast as they are taken, target by target on each connection; the samples sent.
    pub fn send(&mut self, client: &Client, scrapes: usize) -> Result<usize> {
        let scrapes = self.scrape..self.scrape + scrapes;
        self.scrape = scrapes.end;
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .connections
                .iter_mut()
                .map(|targets| {
                    let (client, scrapes) = (client.clone(), scrapes.clone());
                    scope.spawn(move || send(&client, targets, scrapes))
                })
                .collect();
            let sent = threads.into_iter().map(|t| t.join().expect("a writer panicked"));
            sent.sum()
        })
    }
}

fn send(client: &Client, targets: &mut [Target], scrapes: std::ops::Range<usize>) -> Result<usize> {
    let mut values = Vec::new();
    let mut sent = 0;
    for scrape in scrapes {
        for target in targets.iter_mut() {
            let time = target.scrape(scrape, &mut values);
            let body: Vec<Series> = target
                .series
                .iter()
                .zip(&values)
                .map(|(series, value)| Series {
                    labels: series.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect(),
                    samples: vec![(time, *value)],
                })
                .collect();
            accepted(remote_write(client, &body)?)?;
            sent += body.len();
        }
    }
    Ok(sent)
}
