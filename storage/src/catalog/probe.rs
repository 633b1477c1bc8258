//! Whether the store creates objects only where none is: what commits stand on.

use crate::error::{Error, ErrorKind, Result};
use crate::object::paths::PROBE;
use crate::object::{Bucket, PutOutcome};

/// Refuses a store that overwrites what it was asked to create, or cannot be asked: on it two writers, or one whose answer
/// was lost, would overwrite commits. Two small requests; the object stays, always with the same bytes.
pub(crate) async fn require_conditional_create(bucket: &Bucket) -> Result<()> {
    let advice = "set catalog.single_writer = true and let one garner write to it (`garner storage check` tells more)";
    for _ in 0..2 {
        match bucket.put_if_absent(PROBE, "garner\n".into()).await {
            Ok(PutOutcome::Exists) => return Ok(()),
            Ok(PutOutcome::Created) => {}
            Err(error) if error.kind() == ErrorKind::Invalid => {
                let message = format!("the object store refuses a conditional create (If-None-Match); {advice}");
                return Err(Error::with_source(ErrorKind::Invalid, message, error));
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!("the object store ignores If-None-Match: it writes over existing objects; {advice}"),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use tokio::runtime::Handle;

    use super::*;
    use crate::object::RetryPolicy;
    use crate::testing::FaultyStore;

    #[tokio::test]
    async fn a_store_that_overwrites_is_refused() {
        let store = Arc::new(FaultyStore::new(Arc::new(InMemory::new()), 1));
        let bucket = Bucket::new(store.clone(), "", Handle::current(), RetryPolicy::default(), 1);
        for _ in 0..3 {
            require_conditional_create(&bucket).await.unwrap();
        }
        store.ignore_conditions();
        let error = require_conditional_create(&bucket).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("catalog.single_writer = true"), "{error}");
    }
}
