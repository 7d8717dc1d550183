//! Versions of stored state.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type whose values are stored. Its schema version is written beside every value.
///
/// A value written under another schema version than the one this build names is reported as
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) and left untouched, so raise the version when
/// the shape changes: an older build then fails loudly instead of reading it wrongly.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use steadfast::State;
///
/// #[derive(Serialize, Deserialize)]
/// struct Visit {
///     pages: u32,
/// }
///
/// impl State for Visit {
///     const SCHEMA: u16 = 1;
/// }
/// ```
pub trait State: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The version of the type's shape, from 1.
    const SCHEMA: u16;

    /// The layout of the library's own record around the value: kind in the high byte, version in
    /// the low one. Yours has none.
    #[doc(hidden)]
    const LAYOUT: u16 = 0;
}
