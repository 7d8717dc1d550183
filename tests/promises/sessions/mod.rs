//! What sessions do beyond the promises that every record keeps. Each file tells the bugs of
//! other session stores that it pins.

mod attributes;
mod copies;
mod elevation;
mod events;
mod in_order;
mod limit;
mod lost_replies;
mod rotation;
mod size;
mod switch;
mod trips;
