// Over HTTP/1.1 a call stream begins as a request that asks for another protocol on its connection.

/** The value of the header `upgrade`. */
export const callStreamProtocol = "kontor-call-stream";

/** The path of the method, on every wire. */
export const callStreamPath = "/kontor.rpc.v1.CallStream/Open";
