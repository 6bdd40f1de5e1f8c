/** Write a ZIP file of uncompressed entries (APPNOTE.TXT 6.3.10), up to 4 GB. */
const UTF_8_NAMES = 0x0800;
const VERSION = 20;
const DATE_1980 = 0x21; // a date is required; pictures carry their own

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

export function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** Return a ZIP of `files`: `[{ name, content: Blob }]`. */
export async function zipFile(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, content } of files) {
    const encodedName = new TextEncoder().encode(name);
    const checksum = crc32(new Uint8Array(await content.arrayBuffer()));
    const entry = [
      [2, VERSION], [2, UTF_8_NAMES], [2, 0], [2, 0], [2, DATE_1980],
      [4, checksum], [4, content.size], [4, content.size], [2, encodedName.length], [2, 0],
    ];
    const header = record(0x04034b50, entry);
    parts.push(header, encodedName, content);
    directory.push(
      record(0x02014b50, [[2, VERSION], ...entry, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]),
      encodedName,
    );
    offset += header.length + encodedName.length + content.size;
  }
  const length = directory.reduce((sum, part) => sum + part.length, 0);
  const end = record(0x06054b50, [
    [2, 0], [2, 0], [2, files.length], [2, files.length], [4, length], [4, offset], [2, 0],
  ]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/** Return little-endian bytes of a signature and fields `[bytes, value]`. */
function record(signature, fields) {
  const bytes = [];
  for (const [size, value] of [[4, signature], ...fields]) {
    for (let index = 0; index < size; index += 1) bytes.push((value / 2 ** (8 * index)) & 0xff);
  }
  return Uint8Array.from(bytes);
}
