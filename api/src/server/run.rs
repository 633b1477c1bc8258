//! Handing query work to its own threads, and taking it back when the client leaves.

use std::future::Future;

use tokio::task::AbortHandle;

use super::app::App;
use crate::error::{Failure, FailureKind};

/// Runs `work` on the query runtime. When the returned future is dropped (the client has left), the work is aborted; a
/// panic inside becomes an internal error, so that neither the connection nor the server dies.
pub async fn run_query<T, E, F>(app: &App, work: F) -> Result<T, Failure>
where
    T: Send + 'static,
    E: Into<Failure> + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let task = app.query_runtime.spawn(work);
    let _abort = AbortOnDrop(task.abort_handle());
    match task.await {
        Ok(result) => result.map_err(Into::into),
        Err(error) if error.is_panic() => Err(Failure::new(
            FailureKind::Internal,
            "the query failed through a defect of garner; the log has details",
        )),
        Err(_) => Err(Failure::new(FailureKind::Unavailable, "the server is stopping")),
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
