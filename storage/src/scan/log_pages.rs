//! [`LogPages`]: the pages of a source, known before they are read, so that a scan can choose which it reads and when.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use super::{LogPiece, LogRead, RowBounds, ScanContext, SeriesSource};
use crate::error::Result;
use crate::model::TimeRange;

/// The pages of a source in which rows of some streams lie, each to be read when it is wanted.
pub trait LogPages: Send + Sync {
    /// What is known of each page, in the order in which pages were written: of rows of one stream and time, those in an
    /// earlier page came earlier.
    fn bounds(&self) -> &[RowBounds];

    /// The rows of these pages, by their position in [`LogPages::bounds`], in this order; `None` of a page that has none
    /// that are wanted. Pages that are named one after the other and lie side by side are read together.
    fn read(self: Arc<Self>, pages: Vec<u32>) -> BoxStream<'static, Result<(u32, Option<LogPiece>)>>;
}

/// All rows of a source as one page.
#[derive(Debug)]
pub struct OnePage<S: ?Sized> {
    source: Arc<S>,
    ordinals: Vec<u32>,
    bounds: [RowBounds; 1],
    read: LogRead,
    scan: ScanContext,
}

impl<S: SeriesSource + ?Sized> OnePage<S> {
    /// Those of `ordinals` in `range`.
    pub fn new(source: Arc<S>, ordinals: Vec<u32>, range: TimeRange, read: &LogRead, scan: &ScanContext) -> Self {
        OnePage {
            source,
            ordinals,
            bounds: [RowBounds {
                range,
                rows: 0,
                bytes: 0,
            }],
            read: read.clone(),
            scan: scan.clone(),
        }
    }

    async fn all(&self) -> Result<LogPiece> {
        let range = self.bounds[0].range;
        let rows = self
            .source
            .read_logs(&self.ordinals, range, &self.read, &self.scan)
            .await?;
        rows.check(self.ordinals.len(), &self.read)?;
        Ok(LogPiece {
            indexes: (0..self.ordinals.len() as u32).collect(),
            rows,
        })
    }
}

impl<S: SeriesSource + ?Sized + 'static> LogPages for OnePage<S> {
    fn bounds(&self) -> &[RowBounds] {
        &self.bounds
    }

    fn read(self: Arc<Self>, pages: Vec<u32>) -> BoxStream<'static, Result<(u32, Option<LogPiece>)>> {
        let pieces = stream::iter(pages).then(move |page| {
            let own = Arc::clone(&self);
            async move { Ok((page, Some(own.all().await?))) }
        });
        pieces.boxed()
    }
}

/// The pages of a source of which nothing can be read.
#[derive(Debug)]
pub(crate) struct NoPages;

impl LogPages for NoPages {
    fn bounds(&self) -> &[RowBounds] {
        &[]
    }

    fn read(self: Arc<Self>, _: Vec<u32>) -> BoxStream<'static, Result<(u32, Option<LogPiece>)>> {
        stream::empty().boxed()
    }
}
