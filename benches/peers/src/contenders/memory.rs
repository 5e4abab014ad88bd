//! The limit of memory: encoded records in a hash map behind a lock, without a file.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::contender::{self, Contender, Population};
use crate::session::{self, Content, Id, Key, Outcome, Times};

type Records = HashMap<Key, Vec<u8>>;

#[derive(Default)]
pub struct Memory {
    records: RwLock<Records>,
}

impl Memory {
    fn reading(&self) -> RwLockReadGuard<'_, Records> {
        self.records.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> RwLockWriteGuard<'_, Records> {
        self.records.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records a use in place; false if the deadline has passed.
fn extend_in_place(record: &mut [u8]) -> Outcome<bool> {
    let now = session::now();
    let (times, _) = session::open_record(record)?;
    if times.deadline() <= now {
        return Ok(false);
    }
    record[8..16].copy_from_slice(&now.to_le_bytes());
    Ok(true)
}

impl Contender for Memory {
    fn populate(&self, first: u64, live: u64, expired: u64) -> Outcome<Population> {
        let mut records = self.writing();
        contender::in_batches(first, live, expired, |batch| {
            for planned in batch {
                records.insert(planned.key, session::encode_record(planned.times, &planned.content)?);
            }
            Ok(())
        })
    }

    fn read(&self, id: &Id) -> Outcome<Option<Content>> {
        match self.reading().get(&session::key_of(id)) {
            Some(record) => session::read_record(record),
            None => Ok(None),
        }
    }

    fn extend(&self, id: &Id) -> Outcome<bool> {
        match self.writing().get_mut(&session::key_of(id)) {
            Some(record) => extend_in_place(record),
            None => Ok(false),
        }
    }

    fn read_and_extend(&self, id: &Id) -> Outcome<Option<Content>> {
        let mut records = self.writing();
        let Some(record) = records.get_mut(&session::key_of(id)) else {
            return Ok(None);
        };
        if extend_in_place(record)? { session::read_record(record) } else { Ok(None) }
    }

    fn create(&self, content: &Content) -> Outcome<Id> {
        let id = session::draw_id()?;
        let record = session::encode_record(Times::starting(session::now()), content)?;
        self.writing().insert(session::key_of(&id), record);
        Ok(id)
    }

    fn update(&self, id: &Id, content: &Content) -> Outcome<bool> {
        let mut records = self.writing();
        let Some(record) = records.get_mut(&session::key_of(id)) else {
            return Ok(false);
        };
        let Some(updated) = session::update_record(record, content)? else {
            return Ok(false);
        };
        *record = updated;
        Ok(true)
    }

    fn destroy(&self, id: &Id) -> Outcome<bool> {
        Ok(self.writing().remove(&session::key_of(id)).is_some())
    }

    fn delete_expired(&self) -> Outcome<u64> {
        let now = session::now();
        let mut records = self.writing();
        let before = records.len();
        records
            .retain(|_, record| session::open_record(record).is_ok_and(|(times, _)| times.deadline() > now));
        Ok((before - records.len()) as u64)
    }
}
