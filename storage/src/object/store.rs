//! What a bucket stands on.

use object_store::ObjectStore;
use object_store::multipart::MultipartStore;

/// An object store that also takes objects in parts, each of which can be sent again alone (object_store's own uploads
/// cannot: a part that failed once fails the object).
pub trait Store: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Store for T {}
