#!/usr/bin/env bash
# The project `webgpu`: the tests that compute with WebGPU. Where the machine has no adapter, they run on lavapipe, the software Vulkan of Mesa, from
# Debian's backports (Dawn refuses the one of Debian 12), which is unpacked, not installed. Otherwise they are skipped and it says so. Needs a build.
source "$(dirname "$0")/check-parts.sh"

has_adapter() {
  node bin/ltx-a2a.js doctor --backend webgpu --json 2> /dev/null |
    node -e 'let text = ""; process.stdin.on("data", (part) => (text += part)).on("end", () => process.exit(JSON.parse(text).backend.name === "webgpu" ? 0 : 1))'
}
# into $folder/mesa, with the libraries that it needs
unpack_lavapipe() {
  local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$folder/lists" -o "Dir::Cache::archives=$folder/archives")
  mkdir -p "$folder/lists/partial" "$folder/archives/partial" "$folder/mesa"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian %s main\n' bookworm bookworm-backports > "$folder/sources.list"
  "${apt[@]}" update
  (cd "$folder" && "${apt[@]}" download mesa-vulkan-drivers/bookworm-backports libvulkan1 libllvm15 libdrm2 libx11-xcb1 libxcb1 libxcb-dri3-0 \
    libxcb-present0 libxcb-randr0 libxcb-shm0 libxcb-sync1 libxcb-xfixes0 libxshmfence1 libwayland-client0 libxml2 libedit2 libelf1 libz3-4 \
    libzstd1 libffi8 libxau6 libxdmcp6 libbsd0 libmd0 libtinfo6 libicu72 libdrm-amdgpu1)
  for package in "$folder"/*.deb; do dpkg -x "$package" "$folder/mesa"; done
  sed "s#\"library_path\": \"#&$folder/mesa/usr/lib/x86_64-linux-gnu/#" "$folder/mesa/usr/share/vulkan/icd.d/lvp_icd.json" > "$folder/lavapipe.json"
}

if ! has_adapter; then
  [ "$(uname -m)" = x86_64 ] && command -v apt-get > /dev/null && command -v dpkg > /dev/null || skip_project webgpu 'there is no adapter, and no Debian package of one'
  unpack_lavapipe || skip_project webgpu 'there is no adapter, and lavapipe could not be downloaded'
  export VK_ICD_FILENAMES=$folder/lavapipe.json LD_LIBRARY_PATH=$folder/mesa/usr/lib/x86_64-linux-gnu:${LD_LIBRARY_PATH:-}
  has_adapter || skip_project webgpu 'there is no adapter, and lavapipe does not start here'
fi
run_project webgpu webgpu
