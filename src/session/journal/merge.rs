use crate::State;
use crate::session::change::Stop;
use crate::session::{Changed, Ended, SessionError, Sessions};
use crate::store::Reads;

use super::Unsaved;

/// How often a merge starts anew because its principal's record was made anew.
const MOVES_MAX: usize = 4;

impl<T: State> Sessions<T> {
    /// Changes the session that [unsaved](crate::session::SessionsBuilder::on_unsaved) changes were
    /// for. The closure gets the session's state as it is now, and the state as it would have been;
    /// it runs again if others change the session meanwhile. Two trips.
    ///
    /// Nobody has to keep the session's id for this: the journal has a hash of it, by which the
    /// session is found as long as it has that id.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::Duration;
    /// # use serde::{Deserialize, Serialize};
    /// # use steadfast::session::JournalConfig;
    /// # use steadfast::store::{NearConfig, Reads};
    /// # use steadfast::{Sessions, State, Store};
    /// # #[derive(Clone, Serialize, Deserialize)]
    /// # struct Cart { items: Vec<u32> }
    /// # impl State for Cart { const SCHEMA: u16 = 1; }
    /// # #[cfg(feature = "redb")]
    /// # async fn serve(url: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// # const KEEP: Duration = Duration::from_secs(300);
    /// # let near = NearConfig::default().keep(KEEP);
    /// # let store = Store::builder(steadfast::connect(url).await?).near(near).build()?;
    /// # let file = steadfast::redb::RedbBackend::open("./data/journal.redb")?;
    /// # let journal = JournalConfig::new(Arc::new(file));
    /// let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    /// let sessions: Sessions<Cart> = Sessions::builder(&store)
    ///     .reads(Reads::latest().serve_stale(KEEP))
    ///     .journal(journal)
    ///     .on_unsaved(move |unsaved| drop(tell.send(unsaved.clone())))
    ///     .build()?;
    ///
    /// // In a task of its own.
    /// while let Some(unsaved) = told.recv().await {
    ///     let merge = |now: &mut Cart, ours: &Cart| {
    ///         let new = ours.items.iter().filter(|item| !now.items.contains(item));
    ///         let new: Vec<_> = new.copied().collect();
    ///         now.items.extend(new);
    ///     };
    ///     // An outage, for one: then it is still to be done.
    ///     sessions.merge_unsaved(&unsaved, merge).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] if the session is over, or goes on under another id, which only who
    /// has the old one finds; otherwise as [`update`](Sessions::update).
    pub async fn merge_unsaved<R>(
        &self,
        unsaved: &Unsaved<T>,
        merge: impl FnMut(&mut T, &T) -> R,
    ) -> std::result::Result<Changed<R>, SessionError> {
        let Some(state) = &unsaved.state else { return Err(SessionError::Gone(Ended::Missing)) };
        let mark = crate::random::number()?;
        self.store.one_call(self.merge(unsaved, state, mark, merge)).await
    }

    async fn merge<R>(
        &self,
        unsaved: &Unsaved<T>,
        state: &T,
        mark: u64,
        mut merge: impl FnMut(&mut T, &T) -> R,
    ) -> std::result::Result<Changed<R>, SessionError> {
        // What came since is older than the merge, and would be in vain after it.
        if let Some(journal) = &self.journal {
            self.replay(journal, &unsaved.key).await?;
        }
        for _move in 0..MOVES_MAX {
            let signed_in = unsaved.principal.is_some();
            let looked = self.look(unsaved.key.clone(), signed_in, Reads::default()).await?;
            let current = looked.live().map_err(SessionError::Gone)?;
            let change = &mut |now: &mut T, _: &mut _| Ok(merge(now, state));
            match self.revise_here(current, mark, change).await {
                Err(Stop::Moved) => {}
                Err(Stop::Error(error)) => return Err(error),
                Ok(revised) => return Ok(revised.changed()),
            }
        }
        Err(SessionError::Gone(Ended::RotatedOut))
    }
}
