//! Hooks and skills: there are none, in any folder.

use verger_wire::requests::{
    FolderHooks, FolderSkills, FoldersParams, HooksListResponse, SkillsListResponse,
};

/// `hooks/list`.
pub(super) fn hooks(params: FoldersParams, here: Option<&str>) -> HooksListResponse {
    let none = |cwd| FolderHooks { cwd, ..FolderHooks::default() };
    HooksListResponse { data: folders(params, here).map(none).collect() }
}

/// `skills/list`.
pub(super) fn skills(params: FoldersParams, here: Option<&str>) -> SkillsListResponse {
    let none = |cwd| FolderSkills { cwd, ..FolderSkills::default() };
    SkillsListResponse { data: folders(params, here).map(none).collect() }
}

fn folders(params: FoldersParams, here: Option<&str>) -> impl Iterator<Item = String> + use<> {
    let own = || std::env::current_dir().ok().map(|dir| dir.display().to_string());
    let here = if params.cwds.is_empty() { here.map(str::to_owned).or_else(own) } else { None };
    params.cwds.into_iter().chain(here)
}
