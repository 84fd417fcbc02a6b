//! Queries: a regular expression over names, a range over lengths.

use crate::{Record, Store};
use regex::Regex;
use std::collections::{BTreeMap, HashMap};

/// What to look for.
#[derive(Debug, Default)]
pub struct Query {
    name: Option<Regex>,
    at_least: Option<f64>,
    at_most: Option<f64>,
}

/// A query that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("not a regular expression: {0}")]
    Name(#[from] regex::Error),
    #[error("not a number: {0:?}")]
    Number(String),
    #[error("unknown word {0:?}")]
    Word(String),
}

impl Query {
    /// `name=REGEX at-least=NUMBER at-most=NUMBER`
    pub fn parse(text: &str) -> Result<Query, QueryError> {
        let mut query = Query::default();
        for word in text.split_whitespace().filter(|word| !crate::STOP_WORDS.contains(word)) {
            match word.split_once('=') {
                Some(("name", value)) => query.name = Some(Regex::new(value)?),
                Some(("at-least", value)) => query.at_least = Some(number(value)?),
                Some(("at-most", value)) => query.at_most = Some(number(value)?),
                _ => return Err(QueryError::Word(word.to_string())),
            }
        }
        Ok(query)
    }

    fn wants(&self, record: &Record) -> bool {
        let length = record.metres().unwrap_or(f64::NAN);
        self.name.as_ref().map_or(true, |name| name.is_match(&record.name))
            && self.at_least.map_or(true, |least| length >= least)
            && self.at_most.map_or(true, |most| length <= most)
    }

    /// All records that fit, in the order of their numbers.
    #[cfg(feature = "parallel")]
    pub fn run<'a>(&self, store: &'a Store) -> Vec<&'a Record> {
        use rayon::prelude::*;
        let mut found: Vec<&Record> = store.all().par_iter().filter(|record| self.wants(record)).collect();
        found.sort_by_key(|record| record.id);
        found
    }

    /// All records that fit, in the order of their numbers.
    #[cfg(not(feature = "parallel"))]
    pub fn run<'a>(&self, store: &'a Store) -> Vec<&'a Record> {
        let mut found: Vec<&Record> = store.all().iter().filter(|record| self.wants(record)).collect();
        found.sort_by_key(|record| record.id);
        found
    }
}

fn number(text: &str) -> Result<f64, QueryError> {
    text.parse().map_err(|_| QueryError::Number(text.to_string()))
}

/// How often each tag occurs.
pub fn tags(store: &Store) -> BTreeMap<String, usize> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for record in store.all() {
        for tag in &record.tags {
            *counts.entry(tag.as_str()).or_default() += 1;
        }
    }
    counts.into_iter().map(|(tag, count)| (tag.to_string(), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::record;

    #[test]
    fn finds() {
        let mut store = Store::new();
        for (id, name) in [(3, "oak"), (1, "oar"), (2, "ash")] {
            store.add(record(id, name)).unwrap();
        }
        let found = Query::parse("the name=^oa at-least=0.5").unwrap().run(&store);
        assert_eq!(found.iter().map(|r| r.id).collect::<Vec<_>>(), [1, 3]);
        assert!(Query::parse("colour=red").is_err());
    }
}
