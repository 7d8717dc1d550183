//! Which cases find which mutant.

mod conditions;
mod damage;
mod lifetime;
mod reads;
mod several;
mod sizes;
mod ttl;
mod versions;
