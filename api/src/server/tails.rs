//! How many tails each tenant has open.

use std::collections::HashMap;
use std::sync::Arc;

use garner_storage::model::TenantId;
use parking_lot::Mutex;

/// Open tails by tenant.
#[derive(Clone, Debug, Default)]
pub struct TailSlots(Arc<Mutex<HashMap<TenantId, usize>>>);

/// One tail's place, free again when dropped.
#[derive(Debug)]
pub struct TailSlot {
    slots: TailSlots,
    tenant: TenantId,
}

impl TailSlots {
    /// A place for another tail; Loki's text where the tenant has `max` already. 0 means no limit.
    pub fn take(&self, tenant: &TenantId, max: usize) -> Result<TailSlot, String> {
        let mut open = self.0.lock();
        let count = open.get(tenant).copied().unwrap_or(0) + 1;
        if max > 0 && count > max {
            return Err(format!(
                "max concurrent tail requests limit exceeded, count > limit ({count} > {max})"
            ));
        }
        open.insert(tenant.clone(), count);
        Ok(TailSlot {
            slots: self.clone(),
            tenant: tenant.clone(),
        })
    }
}

impl Drop for TailSlot {
    fn drop(&mut self) {
        let mut open = self.slots.0.lock();
        match open.get_mut(&self.tenant) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_has_its_own_places() {
        let slots = TailSlots::default();
        let (a, b) = (
            TenantId::new("a").expect("a tenant"),
            TenantId::new("b").expect("a tenant"),
        );
        let first = slots.take(&a, 2).expect("a place");
        let _second = slots.take(&a, 2).expect("a place");
        let text = "max concurrent tail requests limit exceeded, count > limit (3 > 2)";
        assert_eq!(slots.take(&a, 2).map(|_| ()), Err(text.to_string()));
        let _other = slots.take(&b, 2).expect("a place");
        drop(first);
        let _again = slots.take(&a, 2).expect("a place again");
        let _unlimited = slots.take(&a, 0).expect("no limit");
    }
}
