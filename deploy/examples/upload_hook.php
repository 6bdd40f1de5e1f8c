<?php
// WordPress: in wp-content/mu-plugins/. Every uploaded picture is replaced by its protected version.
function artscraper_protect(array $upload): array {
    $gateway = getenv('ARTSCRAPER_URL') ?: 'http://127.0.0.1:8765';
    if (!preg_match('#^image/(jpeg|png|webp)$#', $upload['type'])) {
        return $upload;
    }
    $request = curl_init("$gateway/v1/protect?strength=medium");
    curl_setopt_array($request, [
        CURLOPT_POSTFIELDS => ['file' => new CURLFile($upload['tmp_name'], $upload['type'], 'upload')],
        CURLOPT_HTTPHEADER => ['Authorization: Bearer ' . (getenv('ARTSCRAPER_API_KEY') ?: 'none')],
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 120,
    ]);
    $picture = curl_exec($request);
    if (curl_getinfo($request, CURLINFO_RESPONSE_CODE) !== 200) {
        return ['error' => 'The picture could not be protected; please try again.'] + $upload;
    }
    file_put_contents($upload['tmp_name'], $picture);
    return ['size' => strlen($picture)] + $upload;
}
if (function_exists('add_filter')) {
    add_filter('wp_handle_upload_prefilter', 'artscraper_protect');
}
