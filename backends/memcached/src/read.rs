use std::time::Instant as Moment;

use steadfast_backend::{Entry, Key, Result};
use tokio::time::Instant;

use crate::record;
use crate::server::Server;

impl Server {
    pub(crate) async fn get(&self, key: &Key, deadline: Instant) -> Result<Option<Entry>> {
        let (client, clock) = self.link()?;
        let asked = Moment::now();
        let item = self.trip(deadline, client.get(key.as_str(), deadline)).await?;
        item.map(|item| record::decode(item, clock, asked)).transpose()
    }

    /// In the order of the keys.
    pub(crate) async fn get_many(
        &self,
        keys: &[&str],
        deadline: Instant,
    ) -> Result<Vec<Option<Entry>>> {
        let (client, clock) = self.link()?;
        let asked = Moment::now();
        let items = self.trip(deadline, client.get_many(keys, deadline)).await?;
        let decode = |item| record::decode(item, clock, asked);
        items.into_iter().map(|item| item.map(decode).transpose()).collect()
    }
}
