//! The list of shared files.

use chat_protocol::{
    file::catalogue::{Audience, Offer},
    header::{MemberHeader, MemberOperation},
};
use rusqlite::{Connection, params};

use super::{Outcome, Problem, intact};
use crate::store::{AccountId, NewShare, OfferRow, Stored};

/// A table that came after the schema. Its absence is no other version: who does not know it has no
/// use for it.
const OFFERS: &str = "CREATE TABLE IF NOT EXISTS offers (
  owner INTEGER NOT NULL, id BLOB NOT NULL, audience TEXT NOT NULL, offer BLOB NOT NULL,
  PRIMARY KEY (owner, id)) STRICT;";

/// Makes the table in a file that has none.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(OFFERS)
}

/// Everything on the list.
pub(super) fn read(connection: &Connection) -> Result<Vec<OfferRow>, Problem> {
    let mut select = connection.prepare("SELECT owner, offer FROM offers ORDER BY owner, id")?;
    let mut rows = select.query([])?;
    let mut offers = Vec::new();
    while let Some(row) = rows.next()? {
        let owner = AccountId(row.get(0)?);
        let text: Vec<u8> = row.get(1)?;
        let offer: Offer = intact("offer of a file", serde_json::from_slice(&text))?;
        offers.push(OfferRow { owner, offer });
    }
    Ok(offers)
}

/// Changes the list of one person.
pub(super) fn share(connection: &Connection, new: &NewShare) -> Outcome {
    let mut delete =
        connection.prepare_cached("DELETE FROM offers WHERE owner = ?1 AND id = ?2")?;
    for id in &new.ended {
        delete.execute(params![new.owner.0, id.as_bytes()])?;
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO offers (owner, id, audience, offer) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (owner, id) DO UPDATE SET audience = excluded.audience, offer = excluded.offer",
    )?;
    for new_offer in &new.offers {
        let offer = &new_offer.offer;
        let (audience, text) = (offer.audience.to_string(), new_offer.text.as_bytes());
        insert.execute(params![new.owner.0, offer.id.as_bytes(), audience, text])?;
    }
    Ok(Ok(Stored::Done))
}

/// Who leaves a room or is removed offers nothing to it any more.
pub(super) fn follow_link(connection: &Connection, link: &MemberHeader) -> rusqlite::Result<()> {
    if !matches!(link.op, MemberOperation::Leave | MemberOperation::Remove) {
        return Ok(());
    }
    let mut delete = connection.prepare_cached(
        "DELETE FROM offers WHERE audience = ?2 \
         AND owner = (SELECT id FROM accounts WHERE folded = ?1 AND name = ?3)",
    )?;
    let audience = Audience::Conversation(link.cid.clone()).to_string();
    delete.execute(params![link.who.folded(), audience, link.who.as_str()])?;
    Ok(())
}
