/** As much of a FileDescriptorProto, in buf's JSON, as comments need. */
export interface FileImage {
  readonly package?: string;
  readonly messageType?: readonly MessageImage[];
  readonly enumType?: readonly EnumImage[];
  readonly service?: readonly { readonly name: string; readonly method?: readonly Named[] }[];
  readonly sourceCodeInfo?: { readonly location: readonly Location[] };
}

interface Named {
  readonly name: string;
}

interface MessageImage extends Named {
  readonly field?: readonly Named[];
  readonly oneofDecl?: readonly Named[];
  readonly nestedType?: readonly MessageImage[];
  readonly enumType?: readonly EnumImage[];
}

interface EnumImage extends Named {
  readonly value?: readonly Named[];
}

interface Location {
  readonly path?: readonly number[];
  readonly leadingComments?: string;
  readonly trailingComments?: string;
}

/**
 * The comments of our contracts by fully qualified name, sorted: `kontor.orders.v1.Order.status`. A value of an enum is listed below
 * its enum, a method below its service.
 */
export function docsOf(files: readonly FileImage[]): Readonly<Record<string, string>> {
  const docs = new Map<string, string>();
  for (const file of files) {
    const name = file.package ?? "";
    if (!name.startsWith("kontor.")) continue;
    const comments = new Map(
      (file.sourceCodeInfo?.location ?? []).map((location) => [(location.path ?? []).join("."), commentOf(location)]),
    );
    const note = (key: string, path: string): void => {
      const comment = comments.get(path);
      if (comment !== undefined && comment !== "") docs.set(key, comment);
    };
    const all = (items: readonly Named[] | undefined, scope: string, path: string): void =>
      items?.forEach((item, index) => note(`${scope}.${item.name}`, `${path}.${index}`));
    // The numbers are those of the descriptor's own fields.
    const enums = (items: readonly EnumImage[] | undefined, scope: string, path: string): void => {
      all(items, scope, path);
      items?.forEach((item, index) => all(item.value, `${scope}.${item.name}`, `${path}.${index}.2`));
    };
    const messages = (items: readonly MessageImage[] | undefined, scope: string, path: string): void => {
      all(items, scope, path);
      items?.forEach((item, index) => {
        const inner = `${scope}.${item.name}`;
        all(item.field, inner, `${path}.${index}.2`);
        all(item.oneofDecl, inner, `${path}.${index}.8`);
        messages(item.nestedType, inner, `${path}.${index}.3`);
        enums(item.enumType, inner, `${path}.${index}.4`);
      });
    };
    messages(file.messageType, name, "4");
    enums(file.enumType, name, "5");
    // A service without a comment of its own has its package's, which is at the top of the file.
    file.service?.forEach((service) => note(`${name}.${service.name}`, "2"));
    all(file.service, name, "6");
    file.service?.forEach((service, index) => all(service.method, `${name}.${service.name}`, `6.${index}.2`));
  }
  return Object.fromEntries([...docs].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** The text of a comment: its lines are joined, an empty line parts paragraphs. */
function commentOf(location: Location): string {
  return (location.leadingComments ?? location.trailingComments ?? "")
    .split(/\n\s*\n/)
    .map((paragraph) => paragraph.replace(/\s*\n\s*/g, " ").trim())
    .filter((paragraph) => paragraph !== "")
    .join("\n\n");
}
