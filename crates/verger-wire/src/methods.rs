//! The one table of each kind of message: its method, parameters and answer, from which everything else is made.
//!
//! [`requests!`] and [`notifications!`] turn a table into the enum that travels, its decoder, and the list of
//! [`Method`]s that the schema and the documentation are written from.

use crate::schema::Shape;

/// A method as a table has it.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it is for, in the words of its table.
    pub doc: &'static str,
    /// The shape of `params`.
    pub params: Shape,
    /// The shape of `result`; a notification has none.
    pub result: Option<Shape>,
}

// === impl Method ===

impl Method {
    /// Whether a message without `params` is refused, because one of them must be there.
    #[must_use]
    pub fn needs_params(&self) -> bool {
        self.params.json()["required"].as_array().is_some_and(|required| !required.is_empty())
    }
}

/// What is asked: `"method" => Variant(Params) -> Answer` becomes an enum and its decoder.
macro_rules! requests {
    (
        $(#[doc = $about:literal])+ $requests:ident
        $($(#[doc = $doc:literal])+ $method:literal => $variant:ident($params:ty) -> $result:ty,)+
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "method", content = "params")]
        pub enum $requests {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\nAnswer: [`", stringify!($result), "`].")]
                #[serde(rename = $method)]
                $variant($params),
            )+
        }

        impl $requests {
            /// Every method, in the order of the enum.
            pub const METHODS: &'static [&'static str] = &[$($method),+];

            /// The same with what travels in each.
            pub const TABLE: &'static [$crate::methods::Method] = &[$(
                $crate::methods::Method {
                    name: $method,
                    doc: concat!($($doc),+),
                    params: $crate::schema::Shape::of::<$params>(stringify!($params)),
                    result: Some($crate::schema::Shape::of::<$result>(stringify!($result))),
                },
            )+];

            /// Finds the method and its parameters. Unknown fields are ignored; missing parameters count as `{}`.
            ///
            /// # Errors
            /// -32601 for a method that is not in the table, -32602 naming the field that does not fit.
            pub fn decode(
                method: &str,
                params: Option<&serde_json::value::RawValue>,
            ) -> Result<Self, $crate::error::RpcError> {
                match method {
                    $($method => $crate::params::decode(params).map(Self::$variant),)+
                    _ => Err($crate::error::RpcError::method_not_found(method)),
                }
            }

            /// The method's name on the wire.
            #[must_use]
            pub fn method(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $method,)+
                }
            }
        }
    };
}

/// What is told: `"method" => Variant(Params)` becomes an enum.
macro_rules! notifications {
    (
        $(#[doc = $about:literal])+ $notifications:ident
        $($(#[doc = $doc:literal])+ $method:literal => $variant:ident($params:ty),)+
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "method", content = "params")]
        pub enum $notifications {
            $($(#[doc = $doc])+ #[serde(rename = $method)] $variant($params),)+
        }

        impl $notifications {
            /// Every method with what travels in it, in the order of the enum.
            pub const TABLE: &'static [$crate::methods::Method] = &[$(
                $crate::methods::Method {
                    name: $method,
                    doc: concat!($($doc),+),
                    params: $crate::schema::Shape::of::<$params>(stringify!($params)),
                    result: None,
                },
            )+];

            /// The method's name on the wire, as clients list it in `optOutNotificationMethods`.
            #[must_use]
            pub fn method(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $method,)+
                }
            }
        }
    };
}

pub(crate) use {notifications, requests};
