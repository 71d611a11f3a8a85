// Payloads as the tests see them: a JSON value, and in Protobuf the text of the bytes beside it, since there they are
// compared byte for byte.

export function encode(value, protobuf) {
  return protobuf ? new TextEncoder().encode(typeof value?.raw === "string" ? value.raw : JSON.stringify(value)) : value;
}

export function decode(data, protobuf) {
  if (data === undefined || data === null) return { data: null };
  if (!protobuf) return { data };
  const raw = new TextDecoder().decode(data);
  if (raw === "") return { data: null };
  try {
    return { data: JSON.parse(raw), raw };
  } catch {
    return { data: null, raw };
  }
}

export function info(given, protobuf) {
  if (!given) return null;
  return {
    user: given.user,
    client: given.client,
    conn_info: decode(given.connInfo, protobuf).data,
    chan_info: decode(given.chanInfo, protobuf).data,
  };
}

export function publication(given, protobuf) {
  return {
    ...decode(given.data, protobuf),
    offset: given.offset ?? 0,
    info: info(given.info, protobuf),
    tags: given.tags ?? {},
  };
}
