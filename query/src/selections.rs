//! The selections that one query has resolved: planning looks a leaf's series up to choose partitions, and execution, by
//! the leaf's description alone, finds them here. So no plan holds a piece of the store, and a plan that came from elsewhere
//! resolves each of its leaves once, whatever number of partitions runs here.

use std::future::Future;
use std::sync::Arc;

use garner_storage::error::Result;
use garner_storage::scan::SeriesRequest;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

type Resolved<S> = Arc<OnceCell<Arc<S>>>;

/// Selections by what was asked. A query has one language and few leaves, so they are searched one after the other.
#[derive(Debug)]
pub struct Selections<S: ?Sized>(Mutex<Vec<(SeriesRequest, Resolved<S>)>>);

impl<S: ?Sized> Default for Selections<S> {
    fn default() -> Self {
        Selections(Mutex::default())
    }
}

impl<S: ?Sized> Selections<S> {
    /// The selection of `request`, resolved by `resolve` where nobody has asked before. Of several that ask at once one
    /// resolves; an error is not kept.
    pub async fn get(&self, request: &SeriesRequest, resolve: impl Future<Output = Result<Arc<S>>>) -> Result<Arc<S>> {
        let cell = self.cell(request);
        cell.get_or_try_init(|| resolve).await.cloned()
    }

    /// What was asked, with what `of` tells of each answer; `None` where it tells nothing of one.
    pub fn reads<T>(&self, of: impl Fn(&S) -> Option<T>) -> Option<Vec<(SeriesRequest, T)>> {
        let known = self.0.lock();
        let reads = known
            .iter()
            .map(|(request, cell)| Some((request.clone(), of(cell.get()?)?)));
        reads.collect()
    }

    fn cell(&self, request: &SeriesRequest) -> Resolved<S> {
        let mut known = self.0.lock();
        if let Some((_, cell)) = known.iter().find(|(r, _)| r == request) {
            return Arc::clone(cell);
        }
        let cell = Arc::new(OnceCell::new());
        known.push((request.clone(), Arc::clone(&cell)));
        cell
    }
}
