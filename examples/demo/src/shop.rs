//! What a customer has: a cart and orders, in one record, so that a checkout is one atomic change
//! on any store.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use steadfast::backend::{Condition, Key, Transactions, Version, Write};
use steadfast::store::{Freshness, Updated};
use steadfast::{Principal, Result, State, Store};

use crate::app;

/// A number of one product.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) sku: String,
    pub(crate) qty: u64,
}

/// What was bought at once.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    #[serde(rename = "order_id")]
    pub(crate) id: String,
    pub(crate) items: Vec<Item>,
    pub(crate) total_qty: u64,
}

/// One customer's record.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) cart: Vec<Item>,
    pub(crate) orders: Vec<Order>,
    /// The executions that last added to the cart, the newest last: one that runs again, because
    /// its process died before the answer was kept, must not add again.
    added: VecDeque<String>,
}

/// More than requests that can come between the death of a process and the retry of its request.
const ADDED_MAX: usize = 256;

impl State for Account {
    const SCHEMA: u16 = 1;
}

impl Account {
    fn put_in_cart(&mut self, item: &Item) {
        match self.cart.iter_mut().find(|present| present.sku == item.sku) {
            Some(present) => present.qty = present.qty.saturating_add(item.qty),
            None => self.cart.push(item.clone()),
        }
    }

    fn check_out(&mut self, order_id: &str) -> Order {
        if let Some(order) = self.orders.iter().find(|order| order.id == order_id) {
            return order.clone();
        }
        let items = std::mem::take(&mut self.cart);
        let total_qty = items.iter().fold(0, |sum: u64, item| sum.saturating_add(item.qty));
        let order = Order { id: order_id.to_owned(), items, total_qty };
        self.orders.push(order.clone());
        order
    }
}

/// The accounts in a store.
#[derive(Clone)]
pub(crate) struct Shop(pub(crate) Store);

impl Shop {
    /// Whether a checkout can be one commit with its answer.
    pub(crate) fn commits_together(&self) -> bool {
        self.0.info().capabilities.transactions >= Transactions::SameGroup
    }

    /// The account to be shown, its version, which is 0 for one that has nothing yet, and how old
    /// it is.
    pub(crate) async fn account(&self, customer: &Principal) -> Result<(Account, u64, Freshness)> {
        let record = self.0.get_as::<Account>(&self.key(customer)?, app::reads()).await?;
        Ok(record.map_or_else(Default::default, |record| {
            (record.value, record.version.get(), record.freshness)
        }))
    }

    /// Adds to the cart, once an execution, never losing what others add at the same time; gives
    /// the new cart.
    pub(crate) async fn add(
        &self,
        customer: &Principal,
        item: &Item,
        effect_id: &str,
    ) -> Result<(Vec<Item>, u64)> {
        let added = self.update(customer, |account| {
            if !account.added.iter().any(|earlier| earlier == effect_id) {
                account.put_in_cart(item);
                account.added.push_back(effect_id.to_owned());
                while account.added.len() > ADDED_MAX {
                    account.added.pop_front();
                }
            }
            account.cart.clone()
        });
        let Updated { output, version } = added.await?;
        Ok((output, version.map_or(0, Version::get)))
    }

    /// Turns the cart into the order with this id; the order that is there already if this was
    /// done before.
    pub(crate) async fn check_out(&self, customer: &Principal, order_id: &str) -> Result<Order> {
        let ordered = self.update(customer, |account| account.check_out(order_id));
        ordered.await.map(|updated| updated.output)
    }

    /// The same, not yet made: the order, and the change that makes it, if one is needed, unless
    /// somebody changes the account before.
    pub(crate) async fn plan_check_out(
        &self,
        customer: &Principal,
        order_id: &str,
    ) -> Result<(Order, Option<Write>)> {
        let key = self.key(customer)?;
        let found = self.0.get::<Account>(&key).await?;
        let (mut account, only_if) = match found {
            Some(found) => (found.value, Condition::VersionIs(found.version)),
            None => (Account::default(), Condition::Absent),
        };
        let orders = account.orders.len();
        let order = account.check_out(order_id);
        if account.orders.len() == orders {
            return Ok((order, None));
        }
        Ok((order, Some(self.0.put_write(&key, &account)?.only_if(only_if))))
    }

    async fn update<R>(
        &self,
        customer: &Principal,
        mut change: impl FnMut(&mut Account) -> R,
    ) -> Result<Updated<R>> {
        let key = self.key(customer)?;
        self.0.update(&key, None, |account| change(account.get_or_insert_default())).await
    }

    fn key(&self, customer: &Principal) -> Result<Key> {
        self.0.key("account", &customer.group(), "shop")
    }
}
