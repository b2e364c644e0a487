//! The messages of `envoy.service.auth.v3.Authorization`: those fields that are read or written here, by the numbers of
//! Envoy's `external_auth.proto`, `attribute_context.proto` and `base.proto`. What is not named is skipped when decoding.
//! <https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/auth/v3/external_auth.proto>

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;

/// The service's one method.
pub const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// `CheckRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct CheckRequest {
    /// What Envoy knows of the request.
    #[prost(message, optional, tag = "1")]
    pub attributes: Option<AttributeContext>,
}

/// `AttributeContext`.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeContext {
    /// The client's request.
    #[prost(message, optional, tag = "4")]
    pub request: Option<Request>,
    /// `context_extensions` of the route: what is required there.
    #[prost(map = "string, string", tag = "10")]
    pub context_extensions: HashMap<String, String>,
}

/// `AttributeContext.Request`.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// Its HTTP part.
    #[prost(message, optional, tag = "2")]
    pub http: Option<HttpRequest>,
}

/// `AttributeContext.HttpRequest`. What a client sent is taken as octets: an older Envoy, or another gateway, hands on header
/// values that are no UTF-8 (Latin-1), and one of them beside a good token is no reason to deny it.
#[derive(Clone, PartialEq, Message)]
pub struct HttpRequest {
    /// By lower-case name; several of one name are joined by commas. On the wire a map is a list of its entries.
    #[prost(message, repeated, tag = "3")]
    pub headers: Vec<ClientHeader>,
    /// The same one by one, if Envoy is configured with `encode_raw_headers`; `headers` is empty then.
    #[prost(message, optional, tag = "13")]
    pub header_map: Option<HeaderMap>,
}

/// `HeaderMap`.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderMap {
    /// Each header.
    #[prost(message, repeated, tag = "1")]
    pub headers: Vec<ClientHeader>,
}

/// A header of the client: an entry of `HttpRequest.headers`, or a `HeaderValue`.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ClientHeader {
    /// Its name.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// Its value as text.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    /// Its value as octets, if it is a `HeaderValue`.
    #[prost(bytes = "vec", tag = "3")]
    pub raw_value: Vec<u8>,
}

/// `HeaderValue`, as it is answered.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value as text.
    #[prost(string, tag = "2")]
    pub value: String,
    /// Its value as octets.
    #[prost(bytes = "vec", tag = "3")]
    pub raw_value: Vec<u8>,
}

/// `HeaderValueOption`.
#[derive(Clone, PartialEq, Message)]
pub struct HeaderValueOption {
    /// The header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<HeaderValue>,
    /// What becomes of one that is there already.
    #[prost(enumeration = "AppendAction", tag = "3")]
    pub append_action: i32,
}

/// `HeaderValueOption.HeaderAppendAction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum AppendAction {
    /// Both are sent.
    AppendIfExistsOrAdd = 0,
    /// The one that is there stays.
    AddIfAbsent = 1,
    /// It is replaced.
    OverwriteIfExistsOrAdd = 2,
}

/// `CheckResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct CheckResponse {
    /// Whether the request may pass: code 0.
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    /// What is sent on, or back.
    #[prost(oneof = "HttpResponse", tags = "2, 3")]
    pub http_response: Option<HttpResponse>,
    /// For later filters and the access log.
    /// A `google.protobuf.Struct`, encoded already: on the wire a message is its octets with their length.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub dynamic_metadata: Option<Bytes>,
}

/// `CheckResponse.http_response`.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum HttpResponse {
    /// What the client gets.
    #[prost(message, tag = "2")]
    Denied(DeniedHttpResponse),
    /// What the service gets.
    #[prost(message, tag = "3")]
    Ok(OkHttpResponse),
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// `google.rpc.Code`.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For the log.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// `DeniedHttpResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct DeniedHttpResponse {
    /// Its status.
    #[prost(message, optional, tag = "1")]
    pub status: Option<HttpStatus>,
    /// Its headers.
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderValueOption>,
    /// Its body.
    #[prost(string, tag = "3")]
    pub body: String,
}

/// `HttpStatus`.
#[derive(Clone, PartialEq, Message)]
pub struct HttpStatus {
    /// Such as 401.
    #[prost(int32, tag = "1")]
    pub code: i32,
}

/// `OkHttpResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct OkHttpResponse {
    /// Headers for the service.
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<HeaderValueOption>,
    /// Headers of the client that the service does not get.
    #[prost(string, repeated, tag = "5")]
    pub headers_to_remove: Vec<String>,
}
