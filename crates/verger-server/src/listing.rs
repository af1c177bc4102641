//! `thread/list`: what the store lists, in the wire's words.

use verger_core::ids::ThreadId;
use verger_store::{Direction, ListQuery, SortKey, StoreError};
use verger_wire::RpcError;
use verger_wire::requests::{
    SortDirection, ThreadListCwdFilter, ThreadListParams, ThreadListResponse, ThreadSortKey, ThreadSourceKind,
};

use crate::meta::Meta;
use crate::shared::Shared;

/// Entries of a page where the client does not say.
pub(crate) const PAGE: u32 = 25;

/// Ids that a client may exclude.
const MOST_EXCLUDED: usize = 100;

/// A page of the list.
pub(crate) async fn list(shared: &Shared, params: ThreadListParams) -> Result<ThreadListResponse, RpcError> {
    let cursor = params.cursor.clone();
    let Some(query) = query(params)? else { return Ok(ThreadListResponse::default()) };
    let page = shared.store.list(query).await.map_err(|error| match error {
        StoreError::BadCursor { .. } => RpcError::invalid_cursor(cursor.as_deref().unwrap_or_default()),
        error => RpcError::internal(error.to_string()),
    })?;
    let data =
        page.rows.iter().map(|row| Meta::from_row(row).to_wire(shared.statuses.get(row.id), Vec::new()));
    Ok(ThreadListResponse { data: data.collect(), next_cursor: page.next, backwards_cursor: page.back })
}

/// What the store is asked; nothing where no thread can fit.
fn query(params: ThreadListParams) -> Result<Option<ListQuery>, RpcError> {
    if params.originators.is_some_and(|originators| !originators.is_empty()) {
        let why = "filtering by originator is not supported; leave it out";
        return Err(RpcError::invalid_params("originators", why));
    }
    let excluded = excluded(&params.excluded_thread_ids.unwrap_or_default())?;
    let cwds = match params.cwd {
        None => None,
        Some(ThreadListCwdFilter::One(cwd)) => Some(vec![cwd]),
        Some(ThreadListCwdFilter::Any(cwds)) => Some(cwds),
    };
    let sort = match params.sort_key.unwrap_or_default() {
        ThreadSortKey::CreatedAt => SortKey::CreatedAt,
        ThreadSortKey::UpdatedAt => SortKey::UpdatedAt,
        ThreadSortKey::RecencyAt => SortKey::RecencyAt,
        ThreadSortKey::SectionPosition if params.section_id.is_some() => return Ok(None),
        ThreadSortKey::SectionPosition => {
            return Err(RpcError::invalid_params("sortKey", "section_position needs a sectionId"));
        }
    };
    // All threads are of the kind that the peer gives to those of its app-server; the kinds of others come with them.
    let kinds = params.source_kinds.unwrap_or_default();
    let is_of_kind = kinds.is_empty() || kinds.contains(&ThreadSourceKind::VsCode);
    // An empty list of folders has no thread, and there are no sections to have one.
    if !is_of_kind || params.section_id.is_some() || cwds.as_ref().is_some_and(Vec::is_empty) {
        return Ok(None);
    }
    Ok(Some(ListQuery {
        archived: params.archived.unwrap_or(false),
        cwds: cwds.unwrap_or_default(),
        search: params.search_term,
        model_providers: params.model_providers.unwrap_or_default(),
        excluded,
        sort,
        direction: direction(params.sort_direction.unwrap_or_default()),
        cursor: params.cursor,
        limit: limit(params.limit),
    }))
}

fn excluded(ids: &[String]) -> Result<Vec<ThreadId>, RpcError> {
    if ids.len() > MOST_EXCLUDED {
        let why = format!("{} ids; at most {MOST_EXCLUDED} can be excluded", ids.len());
        return Err(RpcError::invalid_params("excludedThreadIds", why));
    }
    let parse = |(place, id): (usize, &String)| {
        id.parse().map_err(|why| RpcError::invalid_params(&format!("excludedThreadIds[{place}]"), why))
    };
    ids.iter().enumerate().map(parse).collect()
}

/// The store's word for a direction.
pub(crate) fn direction(wanted: SortDirection) -> Direction {
    match wanted {
        SortDirection::Asc => Direction::Ascending,
        SortDirection::Desc => Direction::Descending,
    }
}

/// How many entries a page has: one at least, so that each brings its reader on.
pub(crate) fn limit(wanted: Option<u32>) -> usize {
    usize::try_from(wanted.unwrap_or(PAGE)).unwrap_or(usize::MAX).max(1)
}
