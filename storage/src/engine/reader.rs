//! Reads: a tenant's lanes as one view.

use std::sync::Arc;

use super::Storage;
use crate::error::{Error, ErrorKind, Result};
use crate::model::TenantId;
use crate::scan::{StoreReader, StoreView};

impl StoreReader for Storage {
    fn view(&self, _tenant: &TenantId) -> Result<Arc<dyn StoreView>> {
        Err(Error::new(ErrorKind::Unavailable, "reads are not wired yet"))
    }
}
